// How the camera's picture is fitted into a window.

import type { Intrinsics, Manifest } from "./manifest";
import type { Pose } from "./pose";
import type { Lens } from "./renderer";

// A picture of another shape than the window may be enlarged beyond what shows all of it: cut by a little at the top
// and bottom of a wide window, by more at the sides of a narrow one, where it would be small.
const LARGEST_WIDE = 1.12;
const LARGEST_NARROW = 1.9;
// What lies beyond the picture's edges is the scene's guess: this much of it is shown, in shares of the picture.
const BEYOND = 0.12;

/** A camera's picture. */
export interface Frame {
  width: number;
  height: number;
  intrinsics: Intrinsics;
}

/** Where the canvas lies in the window, and how large a pixel of the camera's picture is there; all in CSS pixels. */
export interface Layout {
  left: number;
  top: number;
  width: number;
  height: number;
  zoom: number;
}

/**
 * The picture in the middle of a window of `width` x `height` CSS pixels.
 *
 * A `bounded` scene ends soon after the picture's edges; the canvas then does too, between empty bars.
 */
export function layOut(frame: Frame, width: number, height: number, bounded: boolean): Layout {
  const inside = Math.min(width / frame.width, height / frame.height);
  const filling = Math.max(width / frame.width, height / frame.height);
  const narrow = width * frame.height < height * frame.width;
  const zoom = Math.min(filling, inside * (narrow ? LARGEST_NARROW : LARGEST_WIDE));
  const most = bounded ? zoom * (1 + BEYOND) : Infinity;
  const box = { width: Math.min(width, Math.round(frame.width * most)), height: Math.min(height, Math.round(frame.height * most)) };
  return { ...box, left: Math.round((width - box.width) / 2), top: Math.round((height - box.height) / 2), zoom };
}

/** The lens of a canvas that is drawn with `scale` pixels for each CSS pixel. */
export function lensFor(frame: Frame, layout: Layout, scale: number, blur: Manifest["blur"], home: Pose): Lens {
  const width = Math.max(1, Math.round(layout.width * scale));
  const height = Math.max(1, Math.round(layout.height * scale));
  const zoom = layout.zoom * scale;
  const [fx, fy, cx, cy] = frame.intrinsics;
  return {
    fx: fx * zoom,
    fy: fy * zoom,
    cx: width / 2 + (cx - frame.width / 2) * zoom,
    cy: height / 2 + (cy - frame.height / 2) * zoom,
    width,
    height,
    blur: blur.of === "camera" ? blur.variance * Math.max(1, zoom) ** 2 : blur.variance,
    home: blur.of === "camera" ? home : null,
  };
}
