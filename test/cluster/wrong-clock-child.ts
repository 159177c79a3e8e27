// Loaded into a process before its own code: from then on its wall clock is wrong by so many milliseconds. Timers
// and the monotonic clock go as before, as where somebody has set a machine's clock.

const wrongByMs = Number(process.env['WRONG_CLOCK_BY_MS'] ?? 0);
const RightDate = Date;
const rightNow = Date.now.bind(Date);
const wrongNow = (): number => rightNow() + wrongByMs;
// All ways to ask: gRPC takes the time by one and compares it with what another says.
globalThis.Date = new Proxy(RightDate, {
  construct: (target, given: unknown[], newTarget) =>
    Reflect.construct(target, given.length === 0 ? [wrongNow()] : given, newTarget) as Date,
  apply: () => new RightDate(wrongNow()).toString(),
});
Date.now = wrongNow;
