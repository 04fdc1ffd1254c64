// Camera poses: camera-to-world in OpenCV axes (x right, y down, z forward), and the little algebra they need.

export type Vector = [number, number, number];
/** w x y z, unit length. */
export type Quaternion = [number, number, number, number];

/** Rotation by rows (its columns are the camera's axes in the world) and position of the camera. */
export interface Pose {
  rotation: readonly number[];
  position: Vector;
}

/** z in the frame of a camera as a linear function of the world: three factors and an offset. */
export function depthRow({ rotation: m, position: p }: Pose): [number, number, number, number] {
  return [m[2]!, m[5]!, m[8]!, -(m[2]! * p[0] + m[5]! * p[1] + m[8]! * p[2])];
}

export const add = (a: Vector, b: Vector, share = 1): Vector => [a[0] + share * b[0], a[1] + share * b[1], a[2] + share * b[2]];
export const dot = (a: Vector, b: Vector): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const length = (a: Vector): number => Math.hypot(a[0], a[1], a[2]);
export const between = (a: Vector, b: Vector, share: number): Vector => add(a, add(b, a, -1), share);

export function multiply(a: Quaternion, b: Quaternion): Quaternion {
  return [
    a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
    a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
    a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
    a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
  ];
}

export function normalised(q: Quaternion): Quaternion {
  const size = Math.hypot(...q) || 1;
  return [q[0] / size, q[1] / size, q[2] / size, q[3] / size];
}

/** Rotation by `angle` (radians) about a unit axis. */
export function turn(axis: Vector, angle: number): Quaternion {
  const s = Math.sin(angle / 2);
  return [Math.cos(angle / 2), axis[0] * s, axis[1] * s, axis[2] * s];
}

/** The shortest way from one rotation to another. */
export function slerp(a: Quaternion, b: Quaternion, share: number): Quaternion {
  let cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
  const sign = cosine < 0 ? -1 : 1;
  cosine = Math.min(1, cosine * sign);
  const angle = Math.acos(cosine);
  const wide = angle > 1e-4;
  const p = wide ? Math.sin((1 - share) * angle) / Math.sin(angle) : 1 - share;
  const q = (sign * (wide ? Math.sin(share * angle) / Math.sin(angle) : share));
  return normalised([p * a[0] + q * b[0], p * a[1] + q * b[1], p * a[2] + q * b[2], p * a[3] + q * b[3]]);
}

/** Rotation matrix by rows. */
export function matrix([w, x, y, z]: Quaternion): number[] {
  return [
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
  ];
}

/** Quaternion of a rotation matrix by rows: the largest component first, so that nothing cancels. */
export function quaternion(m: readonly number[]): Quaternion {
  const [a, b, c, d, e, f, g, h, i] = m as [number, number, number, number, number, number, number, number, number];
  const squares = [1 + a + e + i, 1 + a - e - i, 1 - a + e - i, 1 - a - e + i];
  const largest = squares.indexOf(Math.max(...squares));
  const s = 2 * Math.sqrt(squares[largest]!);
  const forms: Quaternion[] = [
    [s / 4, (h - f) / s, (c - g) / s, (d - b) / s],
    [(h - f) / s, s / 4, (b + d) / s, (c + g) / s],
    [(c - g) / s, (b + d) / s, s / 4, (f + h) / s],
    [(d - b) / s, (c + g) / s, (f + h) / s, s / 4],
  ];
  return normalised(forms[largest]!);
}

/** Rotate a vector. */
export function rotate(q: Quaternion, v: Vector): Vector {
  const m = matrix(q);
  return [0, 3, 6].map((r) => m[r]! * v[0] + m[r + 1]! * v[1] + m[r + 2]! * v[2]) as Vector;
}
