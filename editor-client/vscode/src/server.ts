/**
 * The server's process: found, started, restarted, and ended with the window.
 */

import * as vscode from 'vscode';
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  State,
  type CloseHandlerResult,
  type LanguageClientOptions,
  type Middleware,
} from 'vscode-languageclient/node';

import type { Command, Found } from './discovery';
import { STATUS, type Status } from './protocol';
import { OneAtATime, RestartBudget } from './restarts';
import type { Options } from './serverSettings';
import type { Process } from './statusText';
import { UsersDocuments } from './usersDocuments';

/** As in the server's session: where it completes. */
const SCHEMES = ['file', 'untitled', 'vscode-notebook-cell', 'vscode-remote', 'vscode-vfs'];

/** What the server's process is made from. */
export interface Parts {
  find(): Promise<Found | undefined>;
  readonly settings: () => Options;
  readonly log: vscode.LogOutputChannel;
  readonly provideInlineCompletionItems: NonNullable<Middleware['provideInlineCompletionItems']>;
  /** Called at each change of `process` and `status`. */
  onChange(): void;
}

export class Server {
  process: Process = { kind: 'looking' };
  /** What the running server said last. */
  status: Status | undefined;
  private client: LanguageClient | undefined;
  private found: Found | undefined;
  private documents: UsersDocuments | undefined;
  private readonly budget = new RestartBudget();
  private readonly turns = new OneAtATime();

  constructor(private readonly parts: Parts) {}

  /** The client of the running server. */
  get running(): LanguageClient | undefined {
    return this.client?.state === State.Running ? this.client : undefined;
  }

  /** How to download the configured model; undefined: there is no server that could. */
  pullCommand(): Command | undefined {
    const { server } = this.found ?? {};
    const args = server?.args.slice(0, server.args.lastIndexOf('lsp'));
    return server && args && { command: server.command, args: [...args, 'models', 'pull', ...this.model] };
  }

  /** Ends the server if there is one, and starts it again; calls meanwhile share one more start. */
  restart(): Promise<void> {
    this.budget.forgive();
    return this.turns.run(async () => {
      await this.stop();
      await this.start();
    });
  }

  /** Ends the server. */
  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    this.status = undefined;
    if (client?.state === State.Running || client?.state === State.Starting) {
      await client.stop().catch((error: unknown) => {
        this.parts.log.warn(`the server did not stop by itself: ${String(error)}`);
      });
    }
    await client?.dispose();
    this.documents?.dispose();
    this.documents = undefined;
  }

  /** Its name, as the server said; none: the server's default. */
  private get model(): string[] {
    return this.status?.model ? [this.status.model] : [];
  }

  private async start(): Promise<void> {
    this.become({ kind: 'looking' });
    const found = await this.parts.find();
    if (found === undefined) {
      this.become({ kind: 'missing' });
      return;
    }
    this.found = found;
    const { origin, server } = found;
    this.parts.log.info(`starting ${[server.command, ...server.args].join(' ')} from ${origin}`);
    this.become({ kind: 'starting', origin });
    const client = (this.client = this.makeClient(found));
    try {
      await client.start();
      this.become({ kind: 'running', origin });
    } catch (error) {
      this.become({ kind: 'stopped', reason: `The server did not start: ${String(error)}` });
    }
  }

  private makeClient({ server, origin }: Found): LanguageClient {
    const executable = { command: server.command, args: [...server.args] };
    const client = new LanguageClient('midfill', 'midfill', executable, this.clientOptions());
    client.onNotification(STATUS, (status) => {
      this.status = status;
      this.parts.onChange();
    });
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) {
        this.become({ kind: 'running', origin });
      } else if (newState === State.Starting) {
        this.become({ kind: 'starting', origin });
      }
    });
    return client;
  }

  private clientOptions(): LanguageClientOptions {
    const { log, provideInlineCompletionItems, settings } = this.parts;
    const documents = (this.documents = new UsersDocuments());
    return {
      documentSelector: SCHEMES.map((scheme) => ({ scheme })),
      outputChannel: log,
      initializationOptions: settings(),
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => this.closed(),
      },
      middleware: {
        ...documents.middleware,
        provideInlineCompletionItems: (...request) => {
          documents.release();
          return provideInlineCompletionItems(...request);
        },
        workspace: { configuration: ({ items }) => items.map(settings) },
      },
    };
  }

  /** The server ended and nobody had asked for it. */
  private async closed(): Promise<CloseHandlerResult> {
    this.status = undefined;
    const verdict = this.budget.ended();
    if (!verdict.again) {
      this.become({ kind: 'stopped', reason: `${verdict.reason}; see the logs, then restart it` });
      return { action: CloseAction.DoNotRestart, handled: true };
    }
    this.become({ kind: 'starting', origin: 'it had ended' });
    this.parts.log.warn(`the server ended; starting it again in ${String(verdict.delayMs)} ms`);
    await new Promise((resolve) => setTimeout(resolve, verdict.delayMs));
    return { action: CloseAction.Restart, handled: true };
  }

  private become(process: Process): void {
    this.process = process;
    this.parts.onChange();
  }
}
