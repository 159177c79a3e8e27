// One client's WebSocket: frames in, events out, several turns at once told apart by `ref`. Closing it
// ends the telling, and only those turns that are to end with it.

import type { IncomingMessage } from 'node:http';
import type { RawData, WebSocket } from 'ws';
import { toErrorEvent } from '../api/problem.ts';
import { toTurnSpec } from '../api/turns.ts';
import {
  eventWithRef,
  parseFrame,
  refOf,
  wsCloseCodes,
  type AcceptedFrame,
  type CancelFrame,
  type ExecFrame,
  type SubscribeFrame,
} from '../api/ws-frames.ts';
import { isTerminalEventType } from '../core/event.ts';
import { ServiceError } from '../core/errors.ts';
import { isTerminal, type TurnRecord } from '../core/turn.ts';
import type { Principal } from '../http/bearer.ts';
import { logError, problemOf, type ErrorContext } from '../http/error-reply.ts';
import { parseJsonObject } from '../http/json-text.ts';
import { upgradeContextOf, type HttpServer } from '../http/server.ts';
import { statusClassOf } from '../observability/metrics.ts';
import { admitTurn, logAccepted } from './admission.ts';
import { EventStream, type StreamScope } from './event-stream.ts';
import type { Gear } from './gateway-parts.ts';
import { isTurnOverAt, placeOfCursor } from './log-places.ts';
import { execRoute } from './routes/exec.ts';
import { cancelAbandoned, cancelTurn, requireTurn } from './routes/turns.ts';
import { requireSession } from './session-door.ts';
import { WsOutbox } from './ws-outbox.ts';

/** Frames taken in but not yet dealt with; beyond, the socket is not read. */
const maxWaitingFrames = 16;
/** What may wait in the socket when a ping is answered. */
const maxWaitingPongBytes = 16 * 1024;
/** Turns being ended at once; beyond, frames wait. */
const maxCancels = 16;
/** Heartbeats without a sign of life before the client counts as gone. */
const maxMissedBeats = 2;

type Stream = { readonly ref: string | null; readonly endsByItself: boolean; readonly stop: AbortController };

export class WsConnection {
  readonly #gear: Gear;
  readonly #server: HttpServer;
  readonly #socket: WebSocket;
  readonly #principal: Principal;
  readonly #context: ErrorContext;
  /** Of the upgrade: what its frames ask for goes on with it. */
  readonly #parentTrace: string | null;
  readonly #outbox: WsOutbox;
  readonly #streams = new Set<Stream>();
  readonly #gone = new AbortController();
  #taking: Promise<void> = Promise.resolve();
  #waitingFrames = 0;
  #missedBeats = 0;
  #cancels = 0;
  /** We end the connection, not the client. */
  #isEndedByUs = false;
  #cancelBeat: () => void = () => undefined;

  constructor(gear: Gear, server: HttpServer, socket: WebSocket, principal: Principal, request: IncomingMessage) {
    this.#gear = gear;
    this.#server = server;
    this.#socket = socket;
    this.#principal = principal;
    this.#context = upgradeContextOf(request);
    const { traceparent } = request.headers;
    this.#parentTrace = typeof traceparent === 'string' ? traceparent : null;
    const { connectionBufferBytes: bufferBytes, stallMs } = gear.limits;
    this.#outbox = new WsOutbox(socket, gear.clock, { bufferBytes, stallMs }, () => {
      this.#isEndedByUs = true;
      gear.metrics.streamsCut.inc();
    });
  }

  start(): void {
    const socket = this.#socket;
    // Too large a frame, bytes that are not UTF-8: ws has closed with the code that says so.
    socket.on('error', (error) => this.#gear.logger.debug({ event: 'ws_error', err: error }, 'WebSocket failed'));
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    socket.on('pong', () => {
      this.#missedBeats = 0;
    });
    socket.on('ping', (data) => {
      this.#missedBeats = 0;
      // Of many pings the latest needs an answer (RFC 6455, 5.5.3): none waits for a reader that takes nothing.
      if (socket.bufferedAmount < maxWaitingPongBytes) socket.pong(data);
    });
    socket.once('close', () => this.#end());
    this.#server.draining.addEventListener('abort', this.#onDraining, { once: true });
    this.#server.closing.addEventListener('abort', this.#onClosing, { once: true });
    if (this.#server.draining.aborted) this.#onDraining();
    this.#beat();
  }

  readonly #onDraining = (): void => {
    for (const stream of this.#streams) if (!stream.endsByItself) stream.stop.abort();
    this.#closeIfDrained();
  };

  readonly #onClosing = (): void => {
    this.#isEndedByUs = true;
    this.#socket.close(wsCloseCodes.restart, 'the server is stopping');
  };

  #closeIfDrained(): void {
    if (this.#server.draining.aborted && this.#streams.size === 0 && this.#waitingFrames === 0) this.#onClosing();
  }

  #end(): void {
    this.#gone.abort();
    this.#cancelBeat();
    this.#server.draining.removeEventListener('abort', this.#onDraining);
    this.#server.closing.removeEventListener('abort', this.#onClosing);
  }

  #beat(): void {
    this.#cancelBeat = this.#gear.clock.after(this.#gear.limits.heartbeatMs, () => {
      // What is not read cannot answer.
      if (!this.#socket.isPaused) {
        if (this.#missedBeats >= maxMissedBeats) {
          this.#socket.terminate();
          return;
        }
        this.#missedBeats += 1;
      }
      this.#socket.ping();
      this.#beat();
    });
  }

  /** Frames are taken one after the other, so that turns of one session begin in the order in which they came. */
  #receive(data: RawData, isBinary: boolean): void {
    this.#missedBeats = 0;
    this.#waitingFrames += 1;
    if (this.#waitingFrames >= maxWaitingFrames) this.#socket.pause();
    this.#taking = this.#taking.then(async () => {
      await this.#take(data, isBinary);
      this.#waitingFrames -= 1;
      if (this.#socket.isPaused) this.#socket.resume();
      this.#closeIfDrained();
    });
  }

  async #take(data: RawData, isBinary: boolean): Promise<void> {
    let ref: string | null = null;
    try {
      const value = this.#parse(data, isBinary);
      ref = refOf(value);
      const parsed = parseFrame(value);
      switch (parsed.type) {
        case 'exec':
          await this.#exec(parsed.frame, ref);
          return;
        case 'subscribe':
          await this.#subscribe(parsed.frame, ref);
          return;
        case 'unsubscribe':
          for (const stream of this.#streams) if (stream.ref === parsed.frame.ref) stream.stop.abort();
          return;
        case 'cancel':
          // In the background: other frames need not wait for a process to end.
          if (this.#cancels >= maxCancels) await this.#cancel(parsed.frame, ref);
          else void this.#cancel(parsed.frame, ref);
          return;
        case 'ping':
          await this.#answer({ type: 'pong', ...(ref === null ? {} : { ref }) });
          return;
      }
    } catch (error) {
      await this.#fail(error, ref);
    }
  }

  #parse(data: RawData, isBinary: boolean): Readonly<Record<string, unknown>> {
    if (isBinary || !Buffer.isBuffer(data)) {
      throw new ServiceError('invalid_json', {}, { message: 'Frames are text: one JSON object each.' });
    }
    return parseJsonObject(data.toString('utf8'), 'frame');
  }

  async #exec(frame: ExecFrame, ref: string | null): Promise<void> {
    const { clock, metrics } = this.#gear;
    const startedMs = clock.monotonicMs();
    const span = this.#gear.tracing.start('WS exec', { kind: 'server', parent: this.#parentTrace });
    const answered = (status: number): void => {
      span.end({ error: status >= 500 ? String(status) : null });
      metrics.requests.inc({ route: 'ws', status_class: statusClassOf(status) });
      metrics.requestDurationSeconds.observe({ route: 'ws' }, (clock.monotonicMs() - startedMs) / 1000);
    };
    let onEnd = (): void => undefined;
    try {
      this.#assertRoomForStream();
      const { requestId } = this.#context;
      const key = frame.idempotency_key ?? null;
      const admitted = await admitTurn(this.#gear, this.#principal, {
        spec: toTurnSpec(frame),
        sessionRef: frame.session_id ?? null,
        requestId,
        traceparent: span.traceparent,
        idempotency: key === null ? null : { route: execRoute, key },
      });
      logAccepted(this.#gear, admitted, { prompt: frame.prompt, requestId }, 'exec');
      const { turn, beforeSeq, isSteered } = admitted;
      if (frame.cancel_on_disconnect === true && !isSteered) onEnd = () => this.#cancelIfLeft(turn);
      await this.#accept({ session_id: turn.sessionId, turn_id: turn.id, status: turn.status }, ref);
      const scope = {
        key: { tenant: turn.tenant, sessionId: turn.sessionId },
        afterSeq: beforeSeq,
        turnId: turn.id,
      };
      await this.#openStream(scope, ref, frame.stream === false ? 'terminal' : 'all', () => {
        answered(200);
        onEnd();
      });
    } catch (error) {
      answered(problemOf(error, this.#context).status);
      onEnd();
      throw error;
    }
  }

  /** Called when the stream of a turn that is to end with its client has ended, however it did. */
  #cancelIfLeft(turn: TurnRecord): void {
    if (this.#gone.signal.aborted && !this.#isEndedByUs) cancelAbandoned(this.#gear, turn);
  }

  async #subscribe(frame: SubscribeFrame, ref: string | null): Promise<void> {
    this.#assertRoomForStream();
    const { tenant, id } = await requireSession(this.#gear, this.#principal.tenant, frame.session_id);
    const key = { tenant, sessionId: id };
    const turnId = frame.turn_id ?? null;
    const turn = turnId === null ? null : await requireTurn(this.#gear, tenant, id, turnId);
    const named = typeof frame.after === 'string' ? frame.after : null;
    const after = named === null ? { seq: 0, epoch: null } : await placeOfCursor(this.#gear, key, named);
    const afterSeq = after.seq;
    await this.#accept({ session_id: id, ...(turnId === null ? {} : { turn_id: turnId }) }, ref);
    if (turn !== null && isTerminal(turn.status) && (await isTurnOverAt(this.#gear.log, key, turn.id, afterSeq))) {
      // Its terminal event is behind the cursor: nothing would ever end this stream.
      await this.#answer({ type: 'ended', ...(ref === null ? {} : { ref }) });
      return;
    }
    await this.#openStream({ key, afterSeq, afterEpoch: after.epoch, turnId }, ref, 'all', () => undefined);
  }

  async #cancel(frame: CancelFrame, ref: string | null): Promise<void> {
    this.#cancels += 1;
    try {
      const turn = await requireTurn(this.#gear, this.#principal.tenant, frame.session_id, frame.turn_id);
      await cancelTurn(this.#gear, turn);
      await this.#accept({ session_id: turn.sessionId, turn_id: turn.id, status: 'cancelled' }, ref);
    } catch (error) {
      await this.#fail(error, ref);
    } finally {
      this.#cancels -= 1;
    }
  }

  /** Resolves when the stream is open; its events then come by themselves. */
  async #openStream(
    scope: StreamScope,
    ref: string | null,
    wanted: 'all' | 'terminal',
    onEnd: () => void,
  ): Promise<void> {
    const stream: Stream = { ref, endsByItself: scope.turnId !== null, stop: new AbortController() };
    if (this.#server.draining.aborted && !stream.endsByItself) throw new ServiceError('draining');
    const events = await EventStream.open(this.#gear, scope, AbortSignal.any([stream.stop.signal, this.#gone.signal]));
    this.#streams.add(stream);
    this.#gear.metrics.streams.inc({ kind: 'ws' }, 1);
    void this.#run(events, stream, wanted).then(() => {
      this.#streams.delete(stream);
      this.#gear.metrics.streams.inc({ kind: 'ws' }, -1);
      onEnd();
      this.#closeIfDrained();
    });
  }

  async #run(events: EventStream, { ref }: Stream, wanted: 'all' | 'terminal'): Promise<void> {
    try {
      const end = await events.pump({
        write: async (batch) => {
          for (const { header, body } of batch) {
            if (wanted === 'all' || isTerminalEventType(header.type))
              await this.#outbox.write(eventWithRef(body, ref), header);
          }
        },
        beat: async () => undefined,
      });
      // A turn's terminal event says it itself.
      if (end === 'closed') await this.#answer({ type: 'ended', ...(ref === null ? {} : { ref }) });
    } catch (error) {
      await this.#fail(error, ref);
    }
  }

  #assertRoomForStream(): void {
    const limit = this.#gear.limits.streamsPerSocket;
    if (this.#streams.size >= limit) throw new ServiceError('too_many_streams', { limit });
  }

  async #accept(facts: Omit<AcceptedFrame, 'type' | 'ref'>, ref: string | null): Promise<void> {
    await this.#answer({ type: 'accepted', ...(ref === null ? {} : { ref }), ...facts });
  }

  async #fail(error: unknown, ref: string | null): Promise<void> {
    logError(this.#gear.logger, error, this.#context);
    await this.#answer(toErrorEvent(problemOf(error, this.#context), ref));
  }

  async #answer(frame: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#outbox.write(JSON.stringify(frame));
  }
}
