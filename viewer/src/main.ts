// The page: loads the scene, draws it whenever something changed, and rests otherwise.

import { Controls } from "./controls";
import { Flight } from "./flight";
import { Interface, show, showArrival } from "./interface";
import { lensFor, layOut, type Frame, type Layout } from "./lens";
import { load } from "./loading";
import type { Manifest } from "./manifest";
import { Playback } from "./playback";
import { Resolution } from "./resolution";
import { NEAR, Renderer, type Lens } from "./renderer";
import { Sorter } from "./sorter";
import { poseOf, standAt, Visitor } from "./stand";

const NO_STREAM = "This browser is too old to unpack the scene. A current Firefox, Chrome, Edge or Safari can.";
const TOO_MANY = "The scene has more splats than this graphics card can hold.";
const LOST = "The graphics card was taken away from this page. Reload the page to go on.";

const FIRST_STEP = 1 / 60;
const LONGEST_STEP = 0.4; // seconds: a slow machine shows fewer pictures of a movement, not a slower one

class Page {
  private readonly manifest = JSON.parse(document.getElementById("manifest")!.textContent!) as Manifest;
  private readonly stage = document.getElementById("stage")!;
  private readonly renderer = new Renderer(document.getElementById("view") as HTMLCanvasElement);
  private readonly playback = new Playback(this.manifest.sets.map((set) => set.time));
  private readonly visitor: Visitor;
  private readonly face: Interface;
  private readonly controls: Controls;
  private readonly sorter: Sorter;
  private layout: Layout;
  private readonly resolution = new Resolution();
  private readonly loaded: boolean[] = this.manifest.sets.map(() => false);
  private flight: Flight | null = null;
  private flown: number | null = null;
  private stale = true;
  private scheduled = false;
  private before = 0;
  private resting = true;
  private drawn = false;

  constructor() {
    const { camera, focus } = this.manifest;
    const instant = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.visitor = new Visitor(standAt(camera.pose, focus), instant);
    this.sorter = new Sorter((order) => {
      this.renderer.arrange(order);
      this.stale = true;
      this.wake();
    });
    this.face = new Interface(this.manifest, this.playback, {
      home: () => this.leaveFlight(() => this.visitor.go(this.visitor.home)),
      shade: () => this.redraw(),
      fly: (index) => this.fly(index),
      play: () => this.play(),
      time: (index) => this.jump(index),
      speed: () => this.face.showTime(),
    });
    this.controls = new Controls(this.stage, this.visitor, () => 1 / this.lens(1).fy, {
      moved: () => this.leaveFlight(() => this.face.dropHint()),
      pointed: (x, y) => void this.turnTo(x, y),
    });
    this.renderer.canvas.addEventListener("webglcontextlost", () => show("failed", LOST));
    new ResizeObserver(() => this.resize()).observe(this.stage);
    this.layout = this.resize();
  }

  /** Load the first set, show it, then load the others. */
  async start(): Promise<void> {
    for (const [index, set] of this.manifest.sets.entries()) {
      if (set.count > this.renderer.capacity) throw new Error(TOO_MANY);
      const splats = await load(set, (share) => index || showArrival(share));
      this.renderer.upload(index, splats);
      this.sorter.add(index, splats.centres);
      this.loaded[index] = true;
      this.redraw();
    }
  }

  private get camera(): Frame {
    const { width, height, intrinsics } = this.manifest.camera;
    return { width, height, intrinsics: this.flight?.intrinsics ?? intrinsics };
  }

  private lens(scale: number): Lens {
    return lensFor(this.camera, this.layout, scale, this.manifest.blur, poseOf(this.visitor.home));
  }

  /** Fit the canvas into the window. */
  private resize(): Layout {
    const { clientWidth, clientHeight } = this.stage;
    this.layout = layOut(this.camera, clientWidth, clientHeight, this.manifest.blur.of === "camera");
    for (const side of ["left", "top", "width", "height"] as const) {
      this.renderer.canvas.style[side] = `${this.layout[side]}px`;
    }
    this.redraw();
    return this.layout;
  }

  private fly(index: number): void {
    if (this.flown === index) {
      this.leaveFlight(() => this.visitor.go(this.visitor.home));
      return;
    }
    this.flight = new Flight(this.manifest.trajectories[index]!, this.visitor.now, this.visitor.home.reach);
    this.flown = index;
    this.face.dropHint();
    this.wake();
  }

  private leaveFlight(then: () => void): void {
    if (this.flight) {
      // whoever takes over starts from where the flight was
      this.visitor.go(this.visitor.now, true);
      this.endFlight();
    }
    then();
    this.wake();
  }

  private endFlight(): void {
    this.flight = null;
    this.flown = null;
    this.face.showFlight(null, 0);
    this.stale = true;
  }

  private play(): void {
    this.playback.playing = !this.playback.playing;
    this.face.showTime();
    this.wake();
  }

  private jump(index: number): void {
    this.playback.playing = false;
    this.playback.index = index;
    this.face.showTime();
    this.wake();
  }

  private async turnTo(x: number, y: number): Promise<void> {
    const lens = this.lens(1);
    const [u, v] = [x - this.layout.left, y - this.layout.top];
    const depth = await this.sorter.pick(this.shown, this.visitor.pose, lens, NEAR, u, v);
    if (depth > 0) {
      const direction: [number, number, number] = [(u - lens.cx) / lens.fx, (v - lens.cy) / lens.fy, 1];
      this.leaveFlight(() => this.visitor.faceTo(direction, depth));
    }
  }

  /** The set to draw: of the wanted time, or the nearest one before it that has arrived. */
  private get shown(): number {
    return this.loaded.lastIndexOf(true, this.playback.index);
  }

  private redraw(): void {
    this.stale = true;
    this.wake();
  }

  private wake(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame((time) => this.frame(time));
  }

  private frame(time: number): void {
    this.scheduled = false;
    // after a rest the clock starts anew
    const seconds = this.resting ? FIRST_STEP : Math.min(LONGEST_STEP, (time - this.before) / 1000);
    this.before = time;
    if (this.shown < 0 || document.documentElement.dataset["state"] === "failed") return;

    const moving = this.travel(seconds);
    const running = this.playback.advance(seconds);
    if (running) this.face.showTime();
    this.sorter.request(this.shown, this.visitor.pose, NEAR);
    const busy = moving || running;
    const scale = this.resolution.next(busy ? time : null, 1 / this.layout.zoom);
    if (this.stale || moving || this.resolution.changed) {
      this.renderer.draw(this.visitor.pose, this.lens(scale), this.face.shade);
      this.stale = this.resolution.changed = false;
    }
    const settled = !busy && !this.sorter.pending;
    this.drawn ||= settled;
    if (this.drawn) show(settled ? "still" : "moving");
    this.resting = !busy;
    if (busy) this.wake();
  }

  /** Move the visitor; false if nothing moves. */
  private travel(seconds: number): boolean {
    if (this.flight) {
      const going = this.flight.advance(seconds);
      this.visitor.go(this.flight.stand, true);
      this.face.showFlight(this.flown, this.flight.progress);
      if (!going) this.endFlight();
      return true;
    }
    const held = this.controls.advance(seconds);
    return this.visitor.advance(seconds) || held;
  }
}

function main(): void {
  if (typeof DecompressionStream === "undefined") return show("failed", NO_STREAM);
  Promise.resolve()
    .then(() => new Page().start())
    .catch((fault: Error) => show("failed", fault.message));
}

main();
