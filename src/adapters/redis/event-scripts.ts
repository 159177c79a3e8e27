// What the server does with a log, each as one step. A script writes nothing before the last check that
// could refuse, and begins with a write that a full server refuses: an error leaves all as it was.

/*
 * The head's fields. epoch: the highest that named the log. last: the latest seq. spoke: the epoch that it was
 * written under, 0 while there is none. base: where the log was opened behind; a log with more than that has
 * a stream. first: the earliest seq that counts as held. sealed: up to there a snapshot holds the events.
 * history: of the server, when the log was opened.
 * An entry of the stream has the id `<its last seq>-0` and in this order: e epoch, a when its last event was
 * written, c checksums, p frames.
 */

/**
 * Names the server's present past: another one after a restart or a failover, when what was acknowledged may be
 * gone. Asked for in the script (3 µs), not of the connection, which may outlive a failover there and back.
 */
const history = `
local function history()
  local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return id or string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end
`;

/** Lua writes large numbers with an exponent. */
const digits = `
local function digits(number) return string.format('%.0f', number) end
`;

/**
 * KEYS head, batches. ARGV epoch, sealed seq, milliseconds to keep. Answers {'opened', last seq} or
 * {'stale_epoch', the later epoch}.
 */
export const openScript = `${history}${digits}
local epoch, sealed = tonumber(ARGV[1]), tonumber(ARGV[2])
local head = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'base', 'first', 'sealed', 'spoke')
local tail = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local held, spoke, last, base, first = tonumber(head[1] or '0'), 0, 0, 0, 1
if tail then
  -- What the stream holds counts: the head may have been evicted, or tell of entries that are gone.
  spoke = tonumber(tail[2][2])
  last = tonumber(string.match(tail[1], '^%d+'))
  held = math.max(held, spoke)
  if head[1] then
    base, first = tonumber(head[3]), tonumber(head[4])
  else
    local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
    first = tonumber(string.match(oldest[1], '^%d+')) - #oldest[2][6] / 4 + 1
    base = first - 1
  end
elseif head[1] and head[2] == head[3] then
  last = tonumber(head[2])
  base, first = last, last + 1
end
if epoch < held then return {'stale_epoch', held} end
local begins = last < sealed
if begins then last, base, first, spoke = sealed, sealed, sealed + 1, 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'last', digits(last), 'base', digits(base), 'first', digits(first),
  'spoke', digits(spoke), 'sealed', digits(math.max(sealed, tonumber(head[5] or '0'))), 'history', history())
if begins or not tail then redis.call('UNLINK', KEYS[2]) else redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'opened', last}
`;

/**
 * KEYS head, batches. ARGV epoch, first seq, how many, last seq, checksums, frames, at, channel, milliseconds to keep
 * at least, the same at most, most events of those that are sealed, most of all, the epoch that the events bear.
 * Answers {'appended', last seq}, {'out_of_order', last seq}, {'stale_epoch', the later epoch} or {'log_lost'}.
 */
export const appendScript = `${history}${digits}
local epoch, from, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local head = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'base', 'first', 'sealed', 'history')
if not head[1] then return {'log_lost'} end
local held, last, base, first = tonumber(head[1]), tonumber(head[2]), tonumber(head[3]), tonumber(head[4])
if epoch < held then return {'stale_epoch', held} end
if head[6] ~= history() then return {'log_lost'} end
if last > base and redis.call('EXISTS', KEYS[2]) == 0 then return {'log_lost'} end
-- Refused or not: from now on earlier writers are fenced.
if epoch > held then redis.call('HSET', KEYS[1], 'epoch', ARGV[1]) end
if count == 0 then return {'appended', last} end
if from > last + 1 then return {'out_of_order', last} end

local function isWritten(known)
  local expected, lastKnown = from, from + known - 1
  if from < first then return false end
  local start = digits(from)
  while expected <= lastKnown do
    local entries = redis.call('XRANGE', KEYS[2], start, '+', 'COUNT', 4)
    if #entries == 0 then return false end
    for _, entry in ipairs(entries) do
      local sums, entryLast = entry[2][6], tonumber(string.match(entry[1], '^%d+'))
      local entryFirst = entryLast - #sums / 4 + 1
      if entryFirst > expected or entry[2][2] ~= ARGV[13] then return false end
      local upTo = math.min(entryLast, lastKnown)
      local there = string.sub(sums, (expected - entryFirst) * 4 + 1, (upTo - entryFirst + 1) * 4)
      local here = string.sub(ARGV[5], (expected - from) * 4 + 1, (upTo - from + 1) * 4)
      if there ~= here then return false end
      expected = upTo + 1
      if expected > lastKnown then return true end
      start = '(' .. entry[1]
    end
  end
  return true
end

local checksums, frames = ARGV[5], ARGV[6]
local known = math.min(count, last - from + 1)
if known > 0 then
  if not isWritten(known) then return {'out_of_order', last} end
  if known == count then return {'appended', last} end
  local place = 1
  for _ = 1, known do place = place + 4 + struct.unpack('>I4', frames, place) end
  checksums, frames = string.sub(checksums, known * 4 + 1), string.sub(frames, place)
end

local isFirst = last == base
redis.call('XADD', KEYS[2], ARGV[4] .. '-0', 'e', ARGV[13], 'a', ARGV[7], 'c', checksums, 'p', frames)
redis.call('HSET', KEYS[1], 'last', ARGV[4], 'spoke', ARGV[13])
redis.call('PUBLISH', ARGV[8], frames)
last = tonumber(ARGV[4])
if isFirst or redis.call('PTTL', KEYS[1]) < tonumber(ARGV[9]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[10])
  redis.call('PEXPIRE', KEYS[2], ARGV[10])
end
local most = tonumber(ARGV[11])
if last - first + 1 > most then
  local cut = math.max(math.min(tonumber(head[5]), last - most), last - tonumber(ARGV[12]))
  cut = math.min(cut, first + 4999)
  if cut >= first then
    redis.call('XTRIM', KEYS[2], 'MINID', digits(cut + 1))
    redis.call('HSET', KEYS[1], 'first', digits(cut + 1))
  end
end
return {'appended', last}
`;

/**
 * KEYS head, batches. ARGV after seq, limit, most bytes. Answers {last seq, first seq, frames of each entry…}; less
 * than was asked for when it is too much, but one entry.
 */
export const readScript = `${digits}
local head = redis.call('HMGET', KEYS[1], 'last', 'first')
if not head[1] then return {0, 1} end
local last, first = tonumber(head[1]), tonumber(head[2])
local from = math.max(tonumber(ARGV[1]) + 1, first)
local answer = {last, first}
if from > last then return answer end
local limit, most, events, bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), 0, 0
local start = digits(from)
while true do
  local entries = redis.call('XRANGE', KEYS[2], start, '+', 'COUNT', 4)
  if #entries == 0 then return answer end
  for _, entry in ipairs(entries) do
    local entryLast = tonumber(string.match(entry[1], '^%d+'))
    local size = #entry[2][8]
    if bytes > 0 and bytes + size > most then return answer end
    table.insert(answer, entry[2][8])
    events = events + entryLast - math.max(from, entryLast - #entry[2][6] / 4 + 1) + 1
    bytes = bytes + size
    if events >= limit then return answer end
    start = '(' .. entry[1]
  end
end
`;

/**
 * KEYS head, batches. ARGV sealed seq, cutoff. Drops a bounded number of entries from the front that end at or
 * before the sealed seq and were written before the cutoff, but never the last. Answers {how many events went, 1 if there may be more}.
 */
export const dropScript = `${digits}
local head = redis.call('HMGET', KEYS[1], 'last', 'first', 'sealed')
if not head[1] then return {0, 0} end
local last, first, sealed, cutoff = tonumber(head[1]), tonumber(head[2]), tonumber(ARGV[1]), tonumber(ARGV[2])
local start, next, seen, bytes = digits(first), first, 0, 0
local isDone = false
while not isDone and seen < 256 and bytes < 1048576 do
  local entries = redis.call('XRANGE', KEYS[2], start, '+', 'COUNT', 8)
  isDone = #entries == 0
  for _, entry in ipairs(entries) do
    local entryLast = tonumber(string.match(entry[1], '^%d+'))
    if entryLast > sealed or entryLast >= last or tonumber(entry[2][4]) >= cutoff then
      isDone = true
      break
    end
    next, seen, bytes = entryLast + 1, seen + 1, bytes + #entry[2][8]
    start = '(' .. entry[1]
  end
end
-- The trimming first: a full server refuses a script that begins with anything else.
if next > first then
  redis.call('XTRIM', KEYS[2], 'MINID', digits(next))
  redis.call('HSET', KEYS[1], 'first', digits(next))
end
if sealed > tonumber(head[3]) then redis.pcall('HSET', KEYS[1], 'sealed', ARGV[1]) end
return {next - first, isDone and 0 or 1}
`;

/** KEYS head, batches. ARGV channel. An empty message tells subscribers that what follows is another log. */
export const eraseScript = `
local erased = redis.call('UNLINK', KEYS[1], KEYS[2])
if erased > 0 then redis.call('PUBLISH', ARGV[1], '') end
return erased
`;
