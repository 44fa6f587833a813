/**
 * Markdown from values.
 *
 * What comes from files and from the model stands in code, which nothing in it can end.
 */

/** Heads with what stands below each; an empty head continues the part before. */
export function sections(...parts: readonly (readonly [string, string])[]): string {
  return parts.map(([head, body]) => (head === '' ? body : `${head}\n\n${body}`)).join('\n\n') + '\n';
}

/** A list of names and values. */
export function bullets(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `- ${name}: ${value}`)
    .join('\n');
}

/** A table; what stands in a cell must be on one line. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heads, heads.map(() => '---'), ...rows];
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  return lines.map((cells) => `| ${cells.map(cell).join(' | ')} |`).join('\n');
}

/** Any text as code within a line. */
export function code(text: string): string {
  const plain = text.replace(/[\r\n]+/g, ' ');
  const ticks = fence(plain, 1);
  return `${ticks} ${plain} ${ticks}`;
}

/** Any text as a block of code. */
export function fenced(text: string): string {
  const ticks = fence(text, 3);
  return `${ticks}\n${text}\n${ticks}`;
}

/** More backticks than stand together in the text. */
function fence(text: string, least: number): string {
  const longest = Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));
  return '`'.repeat(Math.max(least, longest + 1));
}
