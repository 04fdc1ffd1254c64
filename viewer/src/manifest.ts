// What src/lyra/viewer/manifest.py tells the page about a scene.

/** Camera-to-world as [3, 4] by rows, OpenCV axes. */
export type Matrix34 = number[];
/** fx fy cx cy in pixels of the camera's picture. */
export type Intrinsics = [number, number, number, number];

export interface Manifest {
  title: string;
  camera: { width: number; height: number; pose: Matrix34; intrinsics: Intrinsics };
  /** Variance added to every projected Gaussian, in pixels squared: of the camera's picture, or of the screen. */
  blur: { variance: number; of: "camera" | "screen" };
  /** z of what one looks at from the camera, in scene units. */
  focus: number;
  trajectories: { name: string; poses: Matrix34[]; intrinsics: Intrinsics[] }[];
  /** Sets of Gaussians, one for each time in seconds; `source` is an address, or `#` and the id of an element. */
  sets: { time: number; count: number; bytes: number; source: string }[];
  /** Files of the scene that can be taken away. */
  files: { name: string; address: string; bytes: number }[];
}
