// Gaussians as they travel (17 bytes each, quantised in groups) and as the graphics card reads them.
//
// The packed form, written by src/lyra/viewer/packing.py, is little-endian and planar, N Gaussians in groups of 256:
//
//   float32 [G, 12]   of each group: smallest and largest x y z, smallest and largest ln(scale) of the three axes
//   uint32  [N]       rotation: 10 bits each for three components of the quaternion, 2 bits that name the omitted one
//   uint16  [3, N]    x, y, z between the bounds of the group
//   uint8   [3, N]    ln(scale) between the bounds of the group   ┐
//   uint8   [3, N]    red, green, blue                            │ each plane as differences to the one before,
//   uint8   [N]       opacity                                     ┘ modulo 256

export const GROUP = 256;

/** Width of the texture that holds a set; every Gaussian takes two texels. */
export const TEXTURE_WIDTH = 2048;

/** The range of ln(scale) that a texel can hold, in 65535 steps. */
export const LOG_SCALE_MIN = -20;
export const LOG_SCALE_SPAN = 30;

/** One set of Gaussians, ready for the card and for sorting. */
export interface SplatSet {
  readonly count: number;
  /** [N, 3] world coordinates, OpenCV axes. */
  readonly centres: Float32Array<ArrayBuffer>;
  /** [rows, TEXTURE_WIDTH, 4]: x y z (float bits) and colour; two words of rotation, two of ln(scale). */
  readonly texels: Uint32Array<ArrayBuffer>;
}

/** Bytes that `count` Gaussians take when packed. */
export function packedSize(count: number): number {
  return Math.ceil(count / GROUP) * 48 + count * 17;
}

/** Undo the packing; the bytes must start at a multiple of four of their buffer. */
export function unpack(bytes: Uint8Array<ArrayBuffer>, count: number): SplatSet {
  if (bytes.byteLength !== packedSize(count)) {
    throw new Error(`The scene data is damaged: ${bytes.byteLength} bytes for ${count} Gaussians.`);
  }
  const groups = Math.ceil(count / GROUP);
  const bounds = new Float32Array(bytes.buffer, bytes.byteOffset, groups * 12);
  let place = bytes.byteOffset + bounds.byteLength;
  const rotations = new Uint32Array(bytes.buffer, place, count);
  place += 4 * count;
  const positions = new Uint16Array(bytes.buffer, place, 3 * count);
  place += 6 * count;
  const planes = Array.from({ length: 7 }, (_, k) => undelta(new Uint8Array(bytes.buffer, place + k * count, count)));
  const [s0, s1, s2, red, green, blue, opacity] = planes as [Plane, Plane, Plane, Plane, Plane, Plane, Plane];

  const rows = Math.max(1, Math.ceil((count * 2) / TEXTURE_WIDTH));
  const texels = new Uint32Array(rows * TEXTURE_WIDTH * 4);
  const floats = new Float32Array(texels.buffer);
  const centres = new Float32Array(count * 3);
  const toUnit = 65535 / LOG_SCALE_SPAN;
  for (let i = 0; i < count; i++) {
    const g = (i >> 8) * 12;
    for (let axis = 0; axis < 3; axis++) {
      const low = bounds[g + axis]!;
      const value = low + ((bounds[g + 3 + axis]! - low) * positions[axis * count + i]!) / 65535;
      centres[i * 3 + axis] = value;
      floats[i * 8 + axis] = value;
    }
    texels[i * 8 + 3] = red[i]! | (green[i]! << 8) | (blue[i]! << 16) | (opacity[i]! << 24);
    unpackRotation(rotations[i]!, texels, i * 8 + 4);
    const scale = (plane: Plane, axis: number): number => {
      const low = bounds[g + 6 + axis]!;
      const value = low + ((bounds[g + 9 + axis]! - low) * plane[i]!) / 255;
      return Math.min(65535, Math.max(0, Math.round((value - LOG_SCALE_MIN) * toUnit)));
    };
    texels[i * 8 + 6] = scale(s0, 0) | (scale(s1, 1) << 16);
    texels[i * 8 + 7] = scale(s2, 2);
  }
  return { count, centres, texels };
}

type Plane = Uint8Array<ArrayBuffer>;

function undelta(plane: Plane): Plane {
  const out = new Uint8Array(plane.length);
  let value = 0;
  for (let i = 0; i < plane.length; i++) {
    value = (value + plane[i]!) & 255;
    out[i] = value;
  }
  return out;
}

/** Two words of four signed 16-bit numbers, w x y z, from one word. */
function unpackRotation(word: number, into: Uint32Array, at: number): void {
  const omitted = word >>> 30;
  const parts = [0, 0, 0, 0];
  let rest = 1;
  for (let k = 0, c = 0; c < 4; c++) {
    if (c === omitted) continue;
    const value = (((word >>> (10 * k++)) & 1023) / 1023 - 0.5) * Math.SQRT2;
    parts[c] = value;
    rest -= value * value;
  }
  parts[omitted] = Math.sqrt(Math.max(0, rest));
  const short = (value: number): number => Math.round(value * 32767) & 0xffff;
  into[at] = short(parts[0]!) | (short(parts[1]!) << 16);
  into[at + 1] = short(parts[2]!) | (short(parts[3]!) << 16);
}
