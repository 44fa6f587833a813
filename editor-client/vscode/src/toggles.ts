/**
 * Whether suggestions are wanted in a document, and if not, why: four switches in one place.
 */

/** What a document is, as far as the switches care. */
export interface Subject {
  readonly uri: string;
  readonly languageId: string;
}

/** The switches; `snoozedUntil` is a time in milliseconds since 1970, 0 for never. */
export interface Switches {
  readonly enabled: boolean;
  readonly disabledLanguages: readonly string[];
  readonly disabledFiles: readonly string[];
  readonly snoozedUntil: number;
}

/** Why there are no suggestions here; undefined: there are. */
export function reasonOff(
  switches: Switches,
  subject: Subject | undefined,
  now: number,
): string | undefined {
  if (!switches.enabled) {
    return 'turned off everywhere';
  }
  if (switches.snoozedUntil > now) {
    return `snoozed for ${minutes(switches.snoozedUntil - now)}`;
  }
  if (subject === undefined) {
    return undefined;
  }
  if (switches.disabledLanguages.includes(subject.languageId)) {
    return `turned off for the language ${subject.languageId}`;
  }
  return switches.disabledFiles.includes(subject.uri) ? 'turned off for this file' : undefined;
}

/** The list without the element if it is there, else with it. */
export function toggled(list: readonly string[], element: string): string[] {
  return list.includes(element) ? list.filter((other) => other !== element) : [...list, element];
}

/** In words, rounded up: 61,000 is "2 minutes". */
function minutes(ms: number): string {
  const count = Math.ceil(ms / 60_000);
  return count === 1 ? '1 minute' : `${String(count)} minutes`;
}
