// Where the visitor stands: the pose that is drawn follows the pose that the controls ask for.

import { add, between, dot, length, matrix, multiply, normalised, quaternion, rotate, slerp, turn } from "./pose";
import type { Pose, Quaternion, Vector } from "./pose";

const FOLLOW_SECONDS = 0.08;
const STEEPEST = Math.sin((86 * Math.PI) / 180);

/** A pose and how far ahead the point lies that one orbits around. */
export interface Stand {
  position: Vector;
  rotation: Quaternion;
  reach: number;
}

/** A stand from a [3, 4] camera-to-world matrix. */
export function standAt(m: readonly number[], reach: number): Stand {
  const rotation = quaternion([m[0]!, m[1]!, m[2]!, m[4]!, m[5]!, m[6]!, m[8]!, m[9]!, m[10]!]);
  return { position: [m[3]!, m[7]!, m[11]!], rotation, reach };
}

/** The pose of a stand. */
export const poseOf = (stand: Stand): Pose => ({ rotation: matrix(stand.rotation), position: stand.position });

/** The way from one stand to another. */
export function blend(a: Stand, b: Stand, share: number): Stand {
  return {
    position: between(a.position, b.position, share),
    rotation: slerp(a.rotation, b.rotation, share),
    reach: a.reach + share * (b.reach - a.reach),
  };
}

/** The visitor. Angles are radians, distances scene units. */
export class Visitor {
  now: Stand;
  private goal: Stand;
  private readonly up: Vector;

  constructor(
    readonly home: Stand,
    private readonly instant: boolean,
  ) {
    this.now = this.goal = home;
    this.up = rotate(home.rotation, [0, -1, 0]);
  }

  /** The pose to draw. */
  get pose(): Pose {
    return poseOf(this.now);
  }

  /** Come nearer to where the controls want to be; false once there. */
  advance(seconds: number): boolean {
    if (this.now === this.goal) return false;
    const next = blend(this.now, this.goal, this.instant ? 1 : 1 - Math.exp(-seconds / FOLLOW_SECONDS));
    const away = length(add(next.position, this.goal.position, -1)) / this.home.reach;
    const turned = 1 - Math.abs(next.rotation.reduce((sum, part, k) => sum + part * this.goal.rotation[k]!, 0));
    this.now = away < 2e-4 && turned < 1e-8 ? this.goal : next;
    return true;
  }

  /** Go somewhere, smoothly or at once. */
  go(to: Stand, atOnce = false): void {
    this.goal = to;
    if (atOnce) this.now = to;
  }

  /** Walk around the point ahead: to the right and up for positive angles. */
  orbit(right: number, up: number): void {
    const focus = this.focus();
    const rotation = this.turned(-right, -up);
    const position = add(focus, rotate(rotation, [0, 0, 1]), -this.goal.reach);
    this.goal = { ...this.goal, rotation, position };
  }

  /** Turn the head: to the right and up for positive angles. */
  look(right: number, up: number): void {
    this.goal = { ...this.goal, rotation: this.turned(right, up) };
  }

  /** Move along the axes of the camera (x right, y down, z forward), the point ahead included. */
  move(step: Vector): void {
    this.goal = { ...this.goal, position: add(this.goal.position, rotate(this.goal.rotation, step)) };
  }

  /** Change the distance to the point ahead by a factor. */
  approach(factor: number): void {
    const reach = Math.min(100 * this.home.reach, Math.max(0.02 * this.home.reach, this.goal.reach * factor));
    const position = add(this.focus(), rotate(this.goal.rotation, [0, 0, 1]), -reach);
    this.goal = { ...this.goal, position, reach };
  }

  /** Put the point that one orbits around at a direction (camera frame, z = 1) and depth, and face it. */
  faceTo(direction: Vector, depth: number): void {
    const size = length(direction);
    const right = Math.atan2(direction[0], direction[2]);
    const up = Math.asin(-direction[1] / size);
    this.goal = { ...this.goal, rotation: this.turned(right, up), reach: depth * size };
  }

  private focus(): Vector {
    return add(this.goal.position, rotate(this.goal.rotation, [0, 0, 1]), this.goal.reach);
  }

  /** The goal's rotation turned about the scene's up and the camera's right axis, short of the zenith. */
  private turned(right: number, up: number): Quaternion {
    const level = multiply(turn(this.up, -right), this.goal.rotation);
    const rotation = normalised(multiply(turn(rotate(level, [1, 0, 0]), up), level));
    const steepness = (q: Quaternion): number => Math.abs(dot(rotate(q, [0, 0, 1]), this.up));
    return steepness(rotation) > STEEPEST && steepness(rotation) > steepness(level) ? normalised(level) : rotation;
  }
}
