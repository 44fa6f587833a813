/**
 * The switches that turn suggestions off: two settings, a list of files of the workspace, a snooze.
 */

import * as vscode from 'vscode';

import { reasonOff, toggled, type Switches } from './toggles';

const FILES = 'midfill.disabledFiles';

export class Switchboard implements vscode.Disposable {
  private snoozedUntil = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly subscription: vscode.Disposable;
  readonly onDidChange = this.changed.event;

  constructor(private readonly context: vscode.ExtensionContext) {
    this.subscription = vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('midfill')) {
        this.changed.fire();
      }
    });
  }

  dispose(): void {
    clearTimeout(this.timer);
    vscode.Disposable.from(this.subscription, this.changed).dispose();
  }

  /** Why there are no suggestions in a document; undefined: there are. */
  reasonOff(document: vscode.TextDocument | undefined): string | undefined {
    const subject = document && { uri: document.uri.toString(), languageId: document.languageId };
    return reasonOff(this.switches(), subject, Date.now());
  }

  get isSnoozing(): boolean {
    return this.snoozedUntil > Date.now();
  }

  /** Everywhere, for this user. */
  async toggle(): Promise<void> {
    const configuration = vscode.workspace.getConfiguration('midfill');
    await this.set('enabled', !configuration.get('enabled', true));
  }

  async toggleLanguage(languageId: string): Promise<void> {
    await this.set('disabledLanguages', toggled(this.switches().disabledLanguages, languageId));
  }

  async toggleFile(document: vscode.TextDocument): Promise<void> {
    const files = toggled(this.switches().disabledFiles, document.uri.toString());
    await this.context.workspaceState.update(FILES, files);
    this.changed.fire();
  }

  /** No suggestions for this long; 0 ends it. */
  snooze(ms: number): void {
    this.snoozedUntil = ms > 0 ? Date.now() + ms : 0;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.changed.fire();
    }, ms);
    this.changed.fire();
  }

  private switches(): Switches {
    const configuration = vscode.workspace.getConfiguration('midfill');
    return {
      enabled: configuration.get('enabled', true),
      disabledLanguages: configuration.get<string[]>('disabledLanguages', []),
      disabledFiles: this.context.workspaceState.get<string[]>(FILES, []),
      snoozedUntil: this.snoozedUntil,
    };
  }

  /** Where the setting is made already, else for the user. */
  private async set(name: string, value: unknown): Promise<void> {
    const configuration = vscode.workspace.getConfiguration('midfill');
    const isOfWorkspace = configuration.inspect(name)?.workspaceValue !== undefined;
    const target = isOfWorkspace
      ? vscode.ConfigurationTarget.Workspace
      : vscode.ConfigurationTarget.Global;
    await configuration.update(name, value, target);
  }
}
