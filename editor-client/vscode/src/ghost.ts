/**
 * Ghost text: answers the editor's requests, and lets an answer grow on the screen.
 *
 * The editor takes one answer for a request. So the first state of a growing suggestion is the answer.
 * For a later one we run "show next": the editor asks again, keeps what it shows, puts what it gets
 * behind it, and goes on to that in one step, so that there is always something to accept. The first
 * would come back with the next keystroke; so we let it ask once more, and it keeps only what it shows then.
 * It does not ask twice for one place, unless there is another provider; so we register one that has
 * nothing. An editor that has never asked gets a hide and a trigger, which the eye sees.
 */

import * as vscode from 'vscode';

import type { Client } from './client';
import { Growth } from './growth';
import { isAt, isSame, placeAt, placeOf, rangeOf, type Place } from './place';
import type { AcceptedKind, Item, Part } from './protocol';
import { OneAtATime } from './restarts';
import { ShownSuggestion } from './shown';

/** An editor that asks again does so within this time of its command. */
const ASK_MS = 1500;

const IS_SHOWN = 'midfill.isShown';

/** What the next request at a place is answered with. */
interface Prepared extends State {
  /** Tells who waits for the request, after it is answered. */
  asked(): void;
}

/** One state of a suggestion. */
interface State {
  readonly place: Place;
  readonly items: readonly Item[];
}

/** Where the server is, and whether suggestions are wanted in a document. */
export interface Surroundings {
  client(): Client | undefined;
  isWanted(document: vscode.TextDocument): boolean;
  isStreaming(): boolean;
  /** Something failed that is not worth a message. */
  log(message: string): void;
}

export class Ghost implements vscode.Disposable {
  readonly shown = new ShownSuggestion();
  private prepared: Prepared | undefined;
  /** The state to show when the editor has taken the one before. */
  private growing: State | undefined;
  private readonly turns = new OneAtATime();
  /** Whether the editor has ever asked again when it was made to. */
  private asksAgain = false;
  private stream: { readonly key: string; readonly source: vscode.CancellationTokenSource } | undefined;
  /** Where the editor has candidates to go through. */
  private candidatesAt = '';
  private renewal = vscode.Disposable.from();
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly around: Surroundings) {
    this.subscriptions = [
      vscode.workspace.onDidChangeTextDocument((event) => {
        this.edited(event);
      }),
      vscode.window.onDidChangeTextEditorSelection((event) => {
        this.moved(event.textEditor);
      }),
    ];
  }

  dispose(): void {
    this.stop();
    vscode.Disposable.from(this.renewal, ...this.subscriptions).dispose();
  }

  /** The suggestions at a place, for the editor; undefined: none. */
  async provide(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[] | undefined> {
    const client = this.around.client();
    if (client === undefined || !this.around.isWanted(document)) {
      return undefined;
    }
    const place = placeAt(document, position, context.selectedCompletionInfo?.text);
    const prepared = this.prepared;
    this.prepared = undefined;
    if (prepared && isSame(prepared.place, place)) {
      prepared.asked();
      return this.give(place, prepared.items);
    }
    const isInvoked = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    if (isInvoked && this.restAt(place) !== '') {
      this.candidatesAt = place.key;
      return this.give(place, await this.candidates(client, place, token));
    }
    return this.begin(client, place, context, token);
  }

  /** The user has turned the shown suggestion away. */
  dismissed(): void {
    this.stop();
    const itemId = this.shown.clear()?.itemId;
    void this.mark();
    if (itemId !== undefined) {
      this.around.client()?.dismissed(itemId);
    }
  }

  /** The editor has inserted a whole suggestion; of what it offered, the user may have typed some. */
  itemAccepted(itemId: string | undefined, length: number): void {
    this.accepted(itemId, 'full', this.shown.lastStep || length);
  }

  /** The user has accepted some of a suggestion. */
  accepted(itemId: string | undefined, kind: AcceptedKind, acceptedLength: number): void {
    if (itemId !== undefined && acceptedLength > 0) {
      this.around.client()?.accepted({ itemId, kind, acceptedLength });
    }
  }

  /** Runs one of the editor's commands that accept a part, and reports what it took. */
  async acceptPart(command: string, kind: AcceptedKind): Promise<void> {
    const itemId = this.shown.current?.itemId;
    await run(command);
    this.accepted(itemId, kind, this.shown.lastStep);
  }

  /** Runs one of the editor's commands for the next or previous candidate, with candidates to go through. */
  async cycle(command: string): Promise<void> {
    const client = this.around.client();
    const editor = vscode.window.activeTextEditor;
    const place = editor && placeOf(editor);
    if (client !== undefined && place !== undefined && this.candidatesAt !== place.key) {
      const items = await this.candidates(client, place);
      await this.askAgain('trigger', place, items);
      this.candidatesAt = place.key;
    }
    await run(command);
  }

  /** Asks for a suggestion and follows its growth; resolves with the first state worth showing. */
  private begin(
    client: Client,
    place: Place,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[] | undefined> {
    this.stop();
    const source = new vscode.CancellationTokenSource();
    const stream = (this.stream = { key: place.key, source });
    const growth = new Growth(this.restAt(place));
    return new Promise((resolve) => {
      const cancelled = token.onCancellationRequested(() => {
        source.cancel();
      });
      let isAnswered = false;
      const show = (items: readonly Item[]): void => {
        if (isAnswered) {
          this.growing = { place, items };
          void this.turns.run(() => this.grow());
        } else {
          isAnswered = true;
          resolve(this.give(place, items));
        }
      };
      const end = (): void => {
        cancelled.dispose();
        if (this.stream === stream) {
          this.stream = undefined;
        }
        resolve(undefined);
      };
      this.read(client, place, context, growth, source.token, show).then(end, (error: unknown) => {
        this.around.log(`no suggestion: ${String(error)}`);
        end();
      });
    });
  }

  /** Reads a suggestion to its end; `show` gets each state that is worth showing. */
  private async read(
    client: Client,
    place: Place,
    context: vscode.InlineCompletionContext,
    growth: Growth,
    token: vscode.CancellationToken,
    show: (items: readonly Item[]) => void,
  ): Promise<void> {
    const take = ({ items: [item] }: Part): void => {
      const text = item && growth.grown(item.insertText);
      if (item !== undefined && text !== undefined) {
        show([{ ...item, insertText: text }]);
      }
    };
    const reply = await client.suggest(place, context, token, this.around.isStreaming() ? take : undefined);
    const [item] = reply?.items ?? [];
    if (reply !== null && growth.finished(item?.insertText ?? '') !== undefined) {
      show(reply.items);
    }
  }

  /** What is shown here, and other candidates after it. */
  private async candidates(
    client: Client,
    place: Place,
    token?: vscode.CancellationToken,
  ): Promise<readonly Item[]> {
    this.stop();
    const shown = this.itemShown(place);
    return withFirst(shown, await client.candidates(place, token));
  }

  /** The suggestion that is shown at a place. */
  private itemShown(place: Place): Item | undefined {
    const insertText = this.restAt(place);
    const itemId = this.shown.current?.itemId;
    const range = new vscode.Range(place.position, place.position);
    return insertText === '' ? undefined : { insertText, range, ...(itemId && { itemId }) };
  }

  /** Shows the last state of what grows; those that came meanwhile are left out. */
  private async grow(): Promise<void> {
    const growing = this.growing;
    this.growing = undefined;
    if (growing !== undefined) {
      await this.replace(growing.place, growing.items);
    }
  }

  /** Makes the editor show another state of the suggestion at a place, if the cursor is still there. */
  private async replace(place: Place, items: readonly Item[]): Promise<void> {
    if (await this.askAgain('showNext', place, items)) {
      this.asksAgain = true;
      await this.askAgain('trigger', place, items);
    } else if (!this.asksAgain && isAt(place) && this.restAt(place) !== '') {
      await run('hide');
      await this.askAgain('trigger', place, items);
    }
  }

  /** Runs a command that makes the editor ask at a place; false: it did not ask, or the cursor is elsewhere. */
  private async askAgain(command: string, place: Place, items: readonly Item[]): Promise<boolean> {
    if (!isAt(place)) {
      return false;
    }
    let prepared: Prepared | undefined;
    const isAsked = new Promise<boolean>((resolve) => {
      this.prepared = prepared = { place, items, asked: () => setTimeout(resolve, 0, true) };
    });
    this.renewal.dispose();
    this.renewal = registerNothing(place.document);
    // An editor that has much to do may come to the command late: time counts from then on.
    await run(command);
    const wasAsked = await Promise.race([isAsked, later(ASK_MS, false)]);
    if (this.prepared === prepared) {
      this.prepared = undefined;
    }
    await this.mark();
    return wasAsked;
  }

  /** Items as the editor takes them; the first is taken to be on the screen from now on. */
  private give(place: Place, items: readonly Item[]): vscode.InlineCompletionItem[] {
    const [first] = items;
    const { document, position } = place;
    const isAtCursor = first !== undefined && rangeOf(first).isEmpty;
    this.shown.show({
      uri: document.uri.toString(),
      version: document.version,
      offset: document.offsetAt(position),
      text: isAtCursor ? first.insertText : '',
      itemId: first?.itemId,
    });
    void this.mark();
    if (first?.itemId !== undefined) {
      this.around.client()?.shown(first.itemId);
    }
    return items.map(asEditorItem);
  }

  private edited(event: vscode.TextDocumentChangeEvent): void {
    const { document, contentChanges } = event;
    this.shown.edited(document.uri.toString(), document.version, contentChanges);
    void this.mark();
  }

  /** The cursor moved: what grows elsewhere is of no use any more. */
  private moved(editor: vscode.TextEditor): void {
    if (this.stream !== undefined && placeOf(editor).key !== this.stream.key) {
      this.stop();
    }
  }

  private stop(): void {
    this.stream?.source.cancel();
    this.stream = undefined;
  }

  private restAt({ document, position }: Place): string {
    return this.shown.restAt(document.uri.toString(), document.version, document.offsetAt(position));
  }

  /** When it resolves, the editor has done with all that it was told before: it takes messages in turn. */
  private async mark(): Promise<void> {
    await vscode.commands.executeCommand('setContext', IS_SHOWN, this.shown.current !== undefined);
  }
}

/** A provider without suggestions: with another provider, the editor asks all of them again. */
function registerNothing({ uri: { scheme, path } }: vscode.TextDocument): vscode.Disposable {
  return vscode.languages.registerInlineCompletionItemProvider(
    { scheme, pattern: path },
    { provideInlineCompletionItems: () => [] },
  );
}

function later<T>(ms: number, value: T): Promise<T> {
  return new Promise((resolve) => setTimeout(resolve, ms, value));
}

/** Runs one of the editor's commands for inline suggestions. */
async function run(command: string): Promise<void> {
  await vscode.commands.executeCommand(`editor.action.inlineSuggest.${command}`);
}

/** The items with this one in front, each text once. */
function withFirst(first: Item | undefined, items: readonly Item[]): readonly Item[] {
  return first === undefined
    ? items
    : [first, ...items.filter(({ insertText }) => insertText !== first.insertText)];
}

function asEditorItem(item: Item): vscode.InlineCompletionItem {
  return new vscode.InlineCompletionItem(item.insertText, rangeOf(item), {
    title: 'Accepted',
    command: 'midfill.itemAccepted',
    arguments: [item.itemId, item.insertText.length],
  });
}
