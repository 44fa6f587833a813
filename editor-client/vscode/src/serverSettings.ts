/**
 * The settings as the server gets them: only those that the user has set, so that its own defaults
 * hold for the rest, and none that only the editor's side understands.
 */

const SECTION = 'midfill.';
const CLIENT_ONLY = /^midfill\.(?:server\.|trace\.|streaming$)/;

/** Nested options by name. */
export type Options = Record<string, unknown>;

/** The names of the server's options among those of package.json, without the section. */
export function serverOptions(properties: readonly string[]): string[] {
  return properties
    .filter((name) => name.startsWith(SECTION) && !CLIENT_ONLY.test(name))
    .map((name) => name.slice(SECTION.length));
}

/** Nested objects from dotted names; undefined values are left out. */
export function nested(entries: Iterable<readonly [string, unknown]>): Options {
  const options: Options = {};
  for (const [name, value] of entries) {
    if (value !== undefined) {
      put(options, name.split('.'), value);
    }
  }
  return options;
}

function put(options: Options, [head, ...rest]: string[], value: unknown): void {
  if (head === undefined) {
    return;
  }
  if (rest.length === 0) {
    options[head] = value;
    return;
  }
  put((options[head] ??= {}) as Options, rest, value);
}
