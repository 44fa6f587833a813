/**
 * The pages "explain" and "statistics", as Markdown.
 */

import { bullets, code, fenced, sections, table } from './markdown';
import type { CompletionStats, ContextPiece, Explanation, Stats } from './protocol';

const SOURCES: Readonly<Record<string, string>> = {
  generated: 'The model wrote it for this request.',
  joined: 'The model was already writing it for an earlier request.',
  reused: 'It is the rest of a suggestion that you typed along with.',
  prefetched: 'It was prepared when you accepted the suggestion before it.',
  candidate: 'It is a further candidate.',
};

/** How a suggestion came about. */
export function explainPage(about: Explanation): string {
  const place = `${about.path ?? 'A document without a path'}, line ${String(about.line)}`;
  const model = `${about.model} (dialect ${about.dialect}, ${about.dtype} on ${about.device})`;
  return sections(
    ['# Where this suggestion comes from', fenced(about.text)],
    ['', SOURCES[about.source] ?? about.source],
    ['', bullets({ Place: code(place), Model: code(model), Reach: code(about.scope) })],
    ['## What the model read of other files', contextTable(about)],
    ['## What was cut', about.cut === '' ? 'Nothing.' : fenced(about.cut)],
    ['## What it cost', about.stats === null ? 'It is not complete yet.' : costTable(about.stats)],
  );
}

/** What has happened since the session began. */
export function statsPage(stats: Stats): string {
  const { last, ...counters } = stats;
  const rows = Object.entries(counters).map(([name, value]) => [words(name), number(value)]);
  return sections(
    ['# midfill in this window', 'Counted in the memory of the server; it goes nowhere else.'],
    ['', table(['since the start', ''], rows)],
    ['## The last completion', last ? costTable(last) : 'There is none yet.'],
  );
}

/** What a completion cost, in one line. */
export function costLine(stats: CompletionStats): string {
  const total = Math.round(stats.queueMs + stats.prefillMs + stats.decodeMs);
  const rate = stats.decodeMs > 0 ? (1000 * stats.generatedTokens) / stats.decodeMs : 0;
  return `${String(stats.generatedTokens)} tokens in ${String(total)} ms, ${rate.toFixed(0)} tokens/s`;
}

function contextTable({ context, contextMs }: Explanation): string {
  if (context.length === 0) {
    return 'Nothing.';
  }
  const heads = ['file', 'lines', 'characters', 'why', 'score', 'in the prompt'];
  const rows = context.map((piece) => [
    code(piece.path),
    `${String(piece.firstLine)}–${String(piece.lastLine)}`,
    String(piece.characters),
    why(piece),
    piece.score.toFixed(2),
    piece.fitted ? 'yes' : 'no room',
  ]);
  return `${table(heads, rows)}\n\nCollected in ${contextMs.toFixed(1)} ms.`;
}

function why({ reasons }: ContextPiece): string {
  return reasons.join(', ');
}

function costTable(stats: CompletionStats): string {
  const rows = Object.entries(stats).map(([name, value]) => [words(name), number(value)]);
  return table(['', ''], rows);
}

/** `promptTokens` is "prompt tokens", `queueMs` is "queue (ms)". */
function words(name: string): string {
  const [, stem = name, unit] = /^(.*?)(Ms)?$/.exec(name) ?? [];
  const spaced = stem.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return unit === undefined ? spaced : `${spaced} (ms)`;
}

function number(value: unknown): string {
  if (typeof value !== 'number') {
    return typeof value === 'string' ? code(value) : '–';
  }
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}
