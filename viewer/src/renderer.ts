// Gaussians to pixels on WebGL2, with the formulas of lyra's own rasteriser (src/lyra/raster/kernels): EWA projection
// with the blur that the networks were trained with, alpha clamped at 0.999 and cut at 1/255, blended in sRGB.

import { depthRow, type Pose } from "./pose";
import { LOG_SCALE_MIN, LOG_SCALE_SPAN, TEXTURE_WIDTH, type SplatSet } from "./splats";
import type { Order } from "./sorter";

export const NEAR = 0.01;
const FAR = 500;
// How many times nearer than to its own camera a Gaussian may come before gaps open, and when they are fully closed.
const NEARER = [1.3, 2] as const;
const WIDEST = 8;
const NO_WEBGL =
  "This browser cannot draw the scene: WebGL2 is missing or switched off. " +
  "A current Firefox, Chrome, Edge or Safari with hardware acceleration switched on can.";
// Quads of one instance. One quad each would do on a graphics card; software rendering pays for every instance.
const BATCH = 128;

/** Intrinsics in pixels of a `width` x `height` picture, pixel centres at +0.5. */
export interface Lens {
  fx: number;
  fy: number;
  cx: number;
  cy: number;
  width: number;
  height: number;
  /** Variance that is added to every projected Gaussian, in pixels squared. */
  blur: number;
  /** Where the scene's own camera stands, if the blur is to grow much nearer to the scene than that. */
  home: Pose | null;
}

export type Colour = readonly [number, number, number];

const VERTEX = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D splats; // two texels of each Gaussian
uniform usampler2D order;  // which Gaussian is drawn when
uniform int count;
uniform mat3 rotation;     // world to camera
uniform vec3 position;     // of the camera in the world
uniform vec4 lens;         // fx fy cx cy
uniform vec2 size;
uniform float blur;
uniform vec4 home;         // z in the frame of the scene's own camera, as a function of the world; 0: it has none
layout(location = 0) in vec3 corner; // of the quad, -1 or 1; number of the quad in its batch
out vec2 place;            // in standard deviations
flat out vec4 paint;

void main() {
  gl_Position = vec4(0, 0, 2, 1); // outside: not drawn
  int turn = gl_InstanceID * ${BATCH} + int(corner.z);
  if (turn >= count) return;
  int first = 2 * int(texelFetch(order, ivec2(turn & ${TEXTURE_WIDTH - 1}, turn / ${TEXTURE_WIDTH}), 0).x);
  ivec2 texel = ivec2(first & ${TEXTURE_WIDTH - 1}, first / ${TEXTURE_WIDTH});
  uvec4 a = texelFetch(splats, texel, 0);
  uvec4 b = texelFetch(splats, texel + ivec2(1, 0), 0);
  paint = vec4((uvec4(a.w) >> uvec4(0, 8, 16, 24)) & 255u) / 255.0;
  vec3 centre = uintBitsToFloat(a.xyz);
  vec3 p = rotation * (centre - position);
  float level = 2.0 * log(paint.a * 255.0) + 1e-5;
  if (p.z <= ${NEAR} || p.z >= ${FAR.toFixed(1)} || level <= 0.0) return;

  vec4 q = normalize(vec4(unpackSnorm2x16(b.x), unpackSnorm2x16(b.y))); // w x y z
  vec3 s = exp(vec3(unpackUnorm2x16(b.z), unpackUnorm2x16(b.w).x) * ${LOG_SCALE_SPAN.toFixed(1)} + ${LOG_SCALE_MIN.toFixed(1)});
  mat3 axes = rotation * mat3(
    s.x * vec3(1.0 - 2.0 * (q.z * q.z + q.w * q.w), 2.0 * (q.y * q.z + q.x * q.w), 2.0 * (q.y * q.w - q.x * q.z)),
    s.y * vec3(2.0 * (q.y * q.z - q.x * q.w), 1.0 - 2.0 * (q.y * q.y + q.w * q.w), 2.0 * (q.z * q.w + q.x * q.y)),
    s.z * vec3(2.0 * (q.y * q.w + q.x * q.z), 2.0 * (q.z * q.w - q.x * q.y), 1.0 - 2.0 * (q.y * q.y + q.z * q.z)));

  // The Jacobian is evaluated inside the picture widened by 15 % on every side.
  vec2 slope = p.xy / p.z;
  vec2 margin = 0.15 * size / lens.xy;
  vec2 held = clamp(slope, -lens.zw / lens.xy - margin, (size - lens.zw) / lens.xy + margin);
  vec3 depth = vec3(axes[0].z, axes[1].z, axes[2].z);
  vec3 across = lens.x / p.z * (vec3(axes[0].x, axes[1].x, axes[2].x) - held.x * depth);
  vec3 down = lens.y / p.z * (vec3(axes[0].y, axes[1].y, axes[2].y) - held.y * depth);
  // Much nearer than the scene's own camera there are fewer Gaussians than pixels: the gaps between them are closed.
  float nearer = clamp((dot(home.xyz, centre) + home.w) / p.z, 1.0, ${WIDEST.toFixed(1)});
  float widened = mix(1.0, nearer, smoothstep(${NEARER[0].toFixed(1)}, ${NEARER[1].toFixed(1)}, nearer));
  float wide = blur * widened * widened;
  float xx = dot(across, across) + wide, xy = dot(across, down), yy = dot(down, down) + wide;

  // Axes of the ellipse; the quad reaches to where alpha falls below 1/255.
  float middle = 0.5 * (xx + yy);
  float half_difference = 0.5 * (xx - yy);
  float spread = length(vec2(half_difference, xy));
  vec2 major = vec2(1, 0);
  if (spread > 1e-6 * middle) {
    major = normalize(half_difference >= 0.0 ? vec2(half_difference + spread, xy) : vec2(xy, spread - half_difference));
  }
  vec2 variance = vec2(middle + spread, (xx * yy - xy * xy) / (middle + spread));
  vec2 reach = sqrt(level * max(variance, 1e-9));
  vec2 pixel = lens.xy * slope + lens.zw;
  if (any(greaterThan(abs(pixel - 0.5 * size), 0.5 * size + reach.x))) return;

  place = corner.xy * sqrt(level);
  pixel += corner.x * reach.x * major + corner.y * reach.y * vec2(-major.y, major.x);
  vec2 clip = 2.0 * pixel / size - 1.0;
  gl_Position = vec4(clip.x, -clip.y, 0, 1);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec2 place;
flat in vec4 paint;
out vec4 colour;

void main() {
  float alpha = min(paint.a * exp(-0.5 * dot(place, place)), 0.999);
  if (alpha < 1.0 / 255.0) discard;
  colour = vec4(paint.rgb * alpha, alpha);
}`;

/** Draws one set of Gaussians at a time onto a canvas. */
export class Renderer {
  private readonly gl: WebGL2RenderingContext;
  private readonly program: WebGLProgram;
  private readonly places = new Map<string, WebGLUniformLocation | null>();
  private readonly sets = new Map<number, WebGLTexture>();
  private order: WebGLTexture | null = null;
  private orderRows = 0;
  private shown = -1;
  private count = 0;

  /** Throws if the browser has no WebGL2. */
  constructor(readonly canvas: HTMLCanvasElement) {
    const gl = canvas.getContext("webgl2", {
      alpha: false,
      antialias: false,
      depth: false,
      stencil: false,
      powerPreference: "high-performance",
    });
    if (!gl) throw new Error(NO_WEBGL);
    this.gl = gl;
    this.program = build(gl);
    gl.useProgram(this.program);
    gl.uniform1i(this.place("splats"), 0);
    gl.uniform1i(this.place("order"), 1);

    const corners = new Int16Array(BATCH * 12);
    const triangles = new Uint16Array(BATCH * 6);
    for (let quad = 0; quad < BATCH; quad++) {
      corners.set([-1, -1, quad, 1, -1, quad, -1, 1, quad, 1, 1, quad], quad * 12);
      triangles.set(
        [0, 1, 2, 2, 1, 3].map((corner) => quad * 4 + corner),
        quad * 6,
      );
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, corners, gl.STATIC_DRAW);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 3, gl.SHORT, false, 0, 0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /** Most Gaussians that one set may hold on this card. */
  get capacity(): number {
    return (this.gl.getParameter(this.gl.MAX_TEXTURE_SIZE) as number) * (TEXTURE_WIDTH / 2);
  }

  /** Put a set on the card, under a number. */
  upload(number: number, { texels }: SplatSet): void {
    const gl = this.gl;
    const rows = texels.length / (4 * TEXTURE_WIDTH);
    this.sets.set(number, this.texture(gl.RGBA32UI, rows));
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TEXTURE_WIDTH, rows, gl.RGBA_INTEGER, gl.UNSIGNED_INT, texels);
  }

  /** Choose what is drawn from now on. */
  arrange({ set, indices, count }: Order): void {
    const gl = this.gl;
    const rows = indices.length / TEXTURE_WIDTH;
    gl.activeTexture(gl.TEXTURE1);
    if (rows > this.orderRows) {
      gl.deleteTexture(this.order);
      this.order = this.texture(gl.R32UI, rows);
      this.orderRows = rows;
    }
    if (rows) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TEXTURE_WIDTH, rows, gl.RED_INTEGER, gl.UNSIGNED_INT, indices);
    gl.activeTexture(gl.TEXTURE0);
    this.shown = set;
    this.count = count;
  }

  /** Draw over a background colour, sRGB 0…1. */
  draw(pose: Pose, lens: Lens, background: Colour): void {
    const { gl, canvas } = this;
    if (canvas.width !== lens.width || canvas.height !== lens.height) {
      canvas.width = lens.width;
      canvas.height = lens.height;
    }
    gl.viewport(0, 0, lens.width, lens.height);
    gl.clearColor(...background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!this.count) return;
    gl.bindTexture(gl.TEXTURE_2D, this.sets.get(this.shown)!);
    // rows of camera-to-world are columns of world-to-camera, which is what WebGL reads
    gl.uniformMatrix3fv(this.place("rotation"), false, pose.rotation);
    gl.uniform3fv(this.place("position"), pose.position);
    gl.uniform4f(this.place("lens"), lens.fx, lens.fy, lens.cx, lens.cy);
    gl.uniform2f(this.place("size"), lens.width, lens.height);
    gl.uniform1f(this.place("blur"), lens.blur);
    gl.uniform4fv(this.place("home"), lens.home ? depthRow(lens.home) : [0, 0, 0, 0]);
    gl.uniform1i(this.place("count"), this.count);
    gl.drawElementsInstanced(gl.TRIANGLES, BATCH * 6, gl.UNSIGNED_SHORT, 0, Math.ceil(this.count / BATCH));
  }

  private place(name: string): WebGLUniformLocation | null {
    if (!this.places.has(name)) this.places.set(name, this.gl.getUniformLocation(this.program, name));
    return this.places.get(name)!;
  }

  /** A new texture, bound to the active unit. */
  private texture(format: GLenum, rows: number): WebGLTexture {
    const gl = this.gl;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, key, gl.NEAREST);
    gl.texStorage2D(gl.TEXTURE_2D, 1, format, TEXTURE_WIDTH, rows);
    return texture;
  }
}

function build(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  const sources = [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const;
  for (const [kind, source] of sources) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(program)!.map((shader) => gl.getShaderInfoLog(shader));
    throw new Error([...logs, gl.getProgramInfoLog(program)].filter(Boolean).join("\n"));
  }
  return program;
}
