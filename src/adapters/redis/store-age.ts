// Since when a Redis knows what it knows. A mark lies beside the data and goes with them; a server that was
// started again, or another that took its place, may have gone back in time: under it the mark is made anew.
//
// Ages are by the server's clock: those of its clients may be hours apart. It is a wall clock that somebody may
// set. Set back, marks from the future are made anew, and terms that became longer than they were given are
// cut to that again. Set forward, terms end early, once; who acts on that is stopped by the epoch in the records.

import { randomBytes } from 'node:crypto';

/** For a script: `storeAge(key, freshMark())` answers the time of the server, the mark, and when it was made. */
export const storeAgeLua = `
local function serverMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function whole(number)
  return string.format('%.0f', number)
end

local function storeAge(key, fresh)
  local nowMs = serverMs()
  -- Where a server does not say which run it is, losing the key is what can be seen.
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'unknown'
  local mark = redis.call('HMGET', key, 'run', 'mark', 'at_ms')
  local atMs = tonumber(mark[3] or '')
  if mark[1] == run and mark[2] and atMs and atMs <= nowMs then
    return nowMs, mark[2], atMs
  end
  redis.call('HSET', key, 'run', run, 'mark', fresh, 'at_ms', whole(nowMs))
  return nowMs, fresh, nowMs
end
`;

/** For a script: what a term may have left at most, whatever happened to the clock. */
export const boundTermLua = `
local function boundTerm(key, mostMs)
  local leftMs = redis.call('PTTL', key)
  if leftMs == -1 or leftMs > mostMs then redis.call('PEXPIRE', key, mostMs) end
end
`;

export function freshMark(): string {
  return randomBytes(12).toString('hex');
}
