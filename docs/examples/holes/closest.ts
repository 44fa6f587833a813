interface Point {
  x: number;
  y: number;
}

function distance(a: Point, b: Point): number {
  <hole>
}

export function closest(points: Point[], to: Point): Point {
  return points.reduce((best, each) => (distance(each, to) < distance(best, to) ? each : best));
}
