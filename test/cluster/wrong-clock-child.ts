// Loaded into a process before its own code: from then on its wall clock is wrong by so many milliseconds. Timers
// and the monotonic clock go as before, as where somebody has set a machine's clock.

const wrongByMs = Number(process.env['WRONG_CLOCK_BY_MS'] ?? 0);
const rightNow = Date.now.bind(Date);
Date.now = () => rightNow() + wrongByMs;
