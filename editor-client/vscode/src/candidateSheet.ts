/**
 * The text of the panel with candidates: each as it would stand in the file, from the line's start.
 */

/** The panel's text, and the line on which each candidate starts. */
export interface Sheet {
  readonly text: string;
  readonly starts: readonly number[];
}

/**
 * Candidates below each other, a blank line between them.
 *
 * @param before The text of the cursor's line up to the cursor.
 * @param candidates What each would insert.
 */
export function sheetOf(before: string, candidates: readonly string[]): Sheet {
  const lines: string[] = [];
  const starts = candidates.map((candidate) => {
    const start = lines.length;
    lines.push(...(before + candidate).split(/\r?\n/), '');
    return start;
  });
  return { text: lines.join('\n'), starts };
}
