/**
 * The language client: what the extension and its server say to each other.
 *
 * It takes longer to load than all the rest together, so nothing but server.ts imports it, and only
 * when a server starts; others import its types.
 */

import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import {
  CloseAction,
  ErrorAction,
  InlineCompletionRequest,
  LanguageClient,
  NotificationType,
  ProgressType,
  RequestType,
  State,
  type LanguageClientOptions,
  type Middleware,
} from 'vscode-languageclient/node';

import type { Command } from './discovery';
import type { Place } from './place';
import type {
  Accepted,
  CandidatesParams,
  Explanation,
  Item,
  Part,
  Reply,
  Stats,
  Status,
} from './protocol';
import type { Options } from './serverSettings';
import { UsersDocuments } from './usersDocuments';

/** As in the server's session: where it completes. */
const SCHEMES = ['file', 'untitled', 'vscode-notebook-cell', 'vscode-remote', 'vscode-vfs'];

/** How many candidates are asked for when the user wants others. */
const CANDIDATE_COUNT = 4;

const STATUS = new NotificationType<Status>('midfill/status');
const SHOWN = new NotificationType<{ itemId: string }>('midfill/shown');
const ACCEPTED = new NotificationType<Accepted>('midfill/accepted');
const DISMISSED = new NotificationType<{ itemId: string }>('midfill/dismissed');
const CANDIDATES = new RequestType<CandidatesParams, Reply, void>('midfill/candidates');
const EXPLAIN = new RequestType<{ itemId: string | null }, Explanation | null, void>('midfill/explain');
const STATS = new RequestType<undefined, Stats, void>('midfill/stats');
const PARTS = new ProgressType<Part>();

/** What the client asks of the extension, and tells it. */
export interface Host {
  readonly log: vscode.LogOutputChannel;
  settings(): Options;
  readonly provideInlineCompletionItems: NonNullable<Middleware['provideInlineCompletionItems']>;
  onStatus(status: Status): void;
  onState(kind: 'starting' | 'running'): void;
  /** The server ended and nobody had asked for it; resolves with whether to start it again. */
  onEnd(): Promise<boolean>;
}

export class Client {
  private readonly client: LanguageClient;
  private readonly documents = new UsersDocuments();

  /** @param server How to start the server. */
  constructor(
    { command, args }: Command,
    private readonly host: Host,
  ) {
    this.client = new LanguageClient('midfill', 'midfill', { command, args: [...args] }, this.options());
    this.client.onNotification(STATUS, (status) => {
      host.onStatus(status);
    });
    this.client.onDidChangeState(({ newState }) => {
      if (newState !== State.Stopped && newState !== State.StartFailed) {
        host.onState(newState === State.Running ? 'running' : 'starting');
      }
    });
  }

  get isRunning(): boolean {
    return this.client.state === State.Running;
  }

  /** Starts the server; rejects if it does not start. */
  start(): Promise<void> {
    return this.client.start();
  }

  /** Ends the server if it runs, and frees everything. */
  async stop(): Promise<void> {
    if (this.isRunning || this.client.state === State.Starting) {
      await this.client.stop().catch((error: unknown) => {
        this.host.log.warn(`the server did not stop by itself: ${String(error)}`);
      });
    }
    await this.client.dispose();
    this.documents.dispose();
  }

  /** A suggestion at a place; with `onPart`, it is streamed, and each state goes there. */
  async suggest(
    { document, position }: Place,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
    onPart: ((part: Part) => void) | undefined,
  ): Promise<Reply> {
    const { client } = this;
    const asked = client.code2ProtocolConverter.asInlineCompletionParams(document, position, context);
    if (onPart === undefined) {
      return (await client.sendRequest(InlineCompletionRequest.type, asked, token)) as Reply;
    }
    const partialResultToken = randomUUID();
    const parts = client.onProgress(PARTS, partialResultToken, onPart);
    try {
      const params = { ...asked, partialResultToken };
      return (await client.sendRequest(InlineCompletionRequest.type, params, token)) as Reply;
    } finally {
      parts.dispose();
    }
  }

  /** Different completions of one place, the likeliest first; none if the server has no answer. */
  async candidates(
    { document, position }: Place,
    token?: vscode.CancellationToken,
  ): Promise<readonly Item[]> {
    const { client } = this;
    const params = {
      textDocument: client.code2ProtocolConverter.asTextDocumentIdentifier(document),
      position: client.code2ProtocolConverter.asPosition(position),
      count: CANDIDATE_COUNT,
    };
    return (await client.sendRequest(CANDIDATES, params, token))?.items ?? [];
  }

  /** How a suggestion came about, of those lately shown; null as the id: the last one. */
  explain(itemId: string | null): Promise<Explanation | null> {
    return this.client.sendRequest(EXPLAIN, { itemId });
  }

  stats(): Promise<Stats> {
    return this.client.sendRequest(STATS, undefined);
  }

  shown(itemId: string): void {
    void this.client.sendNotification(SHOWN, { itemId });
  }

  accepted(accepted: Accepted): void {
    void this.client.sendNotification(ACCEPTED, accepted);
  }

  dismissed(itemId: string): void {
    void this.client.sendNotification(DISMISSED, { itemId });
  }

  private options(): LanguageClientOptions {
    const { documents, host } = this;
    const settings = (): Options => host.settings();
    return {
      documentSelector: SCHEMES.map((scheme) => ({ scheme })),
      outputChannel: host.log,
      initializationOptions: settings(),
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: async () => {
          const action = (await host.onEnd()) ? CloseAction.Restart : CloseAction.DoNotRestart;
          return { action, handled: true };
        },
      },
      middleware: {
        ...documents.middleware,
        provideInlineCompletionItems: (...request) => {
          documents.release();
          return host.provideInlineCompletionItems(...request);
        },
        workspace: { configuration: ({ items }) => items.map(settings) },
      },
    };
  }
}
