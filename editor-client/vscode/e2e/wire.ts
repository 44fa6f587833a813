/**
 * What the editor and the server said to each other, as `tap.mjs` has logged it.
 */

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { execPath } from 'node:process';

/** One message; `at` is in milliseconds. */
export interface Message {
  readonly at: number;
  readonly from: 'editor' | 'server';
  readonly method?: string;
  readonly id?: number | string;
  /** Of a request with partial results, and of each of them. */
  readonly token?: string;
}

export class Wire {
  private readonly log: string;

  /** @param folder Where the log is written. */
  constructor(folder: string) {
    this.log = path.join(folder, 'wire.jsonl');
  }

  /** The server's command, with the tap before it. */
  tapped(...command: readonly string[]): string[] {
    return [execPath, path.join(import.meta.dirname, 'tap.mjs'), this.log, ...command];
  }

  messages(): Message[] {
    const lines = existsSync(this.log) ? readFileSync(this.log, 'utf8').split('\n').slice(0, -1) : [];
    return lines.map((line) => JSON.parse(line) as Message);
  }

  /** How often the server was told this about suggestions. */
  told(what: string): number {
    return this.count(`midfill/${what}`);
  }

  /** How many messages with this method the editor has sent. */
  count(method: string): number {
    return this.messages().filter((message) => message.from === 'editor' && message.method === method).length;
  }

  /** Whether nothing was said for a second. */
  isAtRest(): boolean {
    return Date.now() - (this.messages().at(-1)?.at ?? 0) > 1000;
  }

  /** Whether the server has nothing to say any more to the last request for a suggestion. */
  isAnswered(): boolean {
    const messages = this.messages();
    const asked = messages.findLast(isRequest);
    return asked === undefined || messages.some((message) => isReply(message, asked));
  }

  /**
   * From the last request for a suggestion to the first that the server said to it, in milliseconds.
   *
   * Undefined: it has said nothing yet.
   */
  lastWait(): number | undefined {
    const messages = this.messages();
    const asked = messages.findLast(isRequest);
    const answered = messages.find(
      (message) =>
        asked !== undefined &&
        (isReply(message, asked) || (message.method === '$/progress' && message.token === asked.token)),
    );
    return asked && answered && answered.at - asked.at;
  }
}

function isRequest({ method }: Message): boolean {
  return method === 'textDocument/inlineCompletion';
}

function isReply({ at, from, id, method }: Message, asked: Message): boolean {
  return from === 'server' && method === undefined && id === asked.id && at >= asked.at;
}
