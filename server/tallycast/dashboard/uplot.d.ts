/** What the dashboard uses of uPlot, which is served as a module of this name (routes/dashboard.py). */

type Line = (number | null | undefined)[];
export type Data = [number[], ...Line[]];
type Paint = string | ((plot: uPlot, index: number) => string);

export interface Axis {
  font?: string;
  stroke?: Paint;
  size?: number;
  space?: number;
  gap?: number;
  incrs?: number[];
  grid?: { show?: boolean; stroke?: Paint; width?: number };
  ticks?: { show?: boolean };
  values?: (plot: uPlot, splits: number[]) => string[];
}

export interface Series {
  label?: string;
  show?: boolean;
  stroke?: Paint;
  fill?: Paint;
  width?: number;
  dash?: number[];
  points?: { show?: boolean; size?: number; fill?: Paint };
  paths?: unknown;
  spanGaps?: boolean;
}

export interface Options {
  width: number;
  height: number;
  padding?: (number | null)[];
  legend?: { show: boolean };
  cursor?: { y?: boolean; points?: { size: number }; drag?: { x: boolean; y: boolean }; sync?: { key: string } };
  scales?: Record<
    string,
    { time?: boolean; range?: (plot: uPlot, min: number | null, max: number | null) => [number, number] }
  >;
  axes?: Axis[];
  series: Series[];
  hooks?: Record<string, ((plot: uPlot) => void)[]>;
}

export default class uPlot {
  constructor(options: Options, data: Data, box: HTMLElement);
  static pxRatio: number;
  static paths: Record<string, (options: object) => unknown>;
  readonly root: HTMLElement;
  readonly ctx: CanvasRenderingContext2D;
  readonly cursor: { idx?: number | null; left?: number };
  readonly width: number;
  readonly height: number;
  setData(data: Data, resetScales?: boolean): void;
  setSize(size: { width: number; height: number }): void;
  setSeries(index: number, options: { show: boolean }): void;
  setCursor(at: { left: number; top: number }): void;
  valToPos(value: number, scale: string): number;
  redraw(rebuildPaths?: boolean, recalcAxes?: boolean): void;
  destroy(): void;
}
