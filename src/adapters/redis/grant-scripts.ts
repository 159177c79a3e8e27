// What the grant store does inside Redis, each script all or nothing on one key. All of a session's grants are
// one hash: `epoch`; of each grant g: (what does not change), r: (revision), t: (running turn), n: (what that
// turn used); and x: (when it ended) of those that are over.

import { storeAgeLua } from './store-age.ts';

const sharedLua = `
${storeAgeLua}
local used = { 'calls', 'input', 'cached', 'output', 'reasoning' }

local function forgetTally(key, id)
  for _, name in ipairs(used) do redis.call('HDEL', key, 'n:' .. id .. ':' .. name) end
end

local function tell(channel, id, word)
  redis.call('PUBLISH', channel, id .. ' ' .. word)
end

local function endGrant(key, id, nowMs, channel)
  redis.call('HDEL', key, 'g:' .. id, 'r:' .. id, 't:' .. id)
  forgetTally(key, id)
  if redis.call('HSETNX', key, 'x:' .. id, whole(nowMs)) == 1 then tell(channel, id, 'ended') end
end

local function forgetEnds(key, beforeMs)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'x:' then
      local atMs = tonumber(redis.call('HGET', key, field))
      if not atMs or atMs < beforeMs then redis.call('HDEL', key, field) end
    end
  end
end
`;

/** ARGV: id, epoch, revision, turn or '', body, milliseconds to keep, to keep ends, channel. */
export const putLua = `
${sharedLua}
local key = KEYS[1]
local id, epoch, revision, turn, body = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
if redis.call('HEXISTS', key, 'x:' .. id) == 1 then return { 'ended' } end
local known = tonumber(redis.call('HGET', key, 'epoch') or '0')
if epoch < known then return { 'stale', whole(known) } end
local standing = redis.call('HMGET', key, 'r:' .. id, 't:' .. id)
if standing[1] and tonumber(standing[1]) >= revision then
  redis.call('PEXPIRE', key, ARGV[6])
  return { 'stands', standing[1], standing[2] }
end
if epoch > known then
  local nowMs = serverMs()
  redis.call('HSET', key, 'epoch', whole(epoch))
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'g:' then endGrant(key, string.sub(field, 3), nowMs, ARGV[8]) end
  end
  forgetEnds(key, nowMs - ARGV[7])
end
if standing[2] ~= turn then forgetTally(key, id) end
redis.call('HSET', key, 'g:' .. id, body, 'r:' .. id, whole(revision), 't:' .. id, turn)
redis.call('PEXPIRE', key, ARGV[6])
tell(ARGV[8], id, whole(revision))
return { 'put' }
`;

/** ARGV: id, milliseconds to keep, to keep ends, channel. */
export const removeLua = `
${sharedLua}
local nowMs = serverMs()
forgetEnds(KEYS[1], nowMs - ARGV[3])
endGrant(KEYS[1], ARGV[1], nowMs, ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`;

/** ARGV: id, turn, milliseconds to keep, then the five numbers. */
export const countLua = `
${sharedLua}
local key, id = KEYS[1], ARGV[1]
if redis.call('HGET', key, 't:' .. id) ~= ARGV[2] then return { 0, 0, 0, 0, 0 } end
redis.call('PEXPIRE', key, ARGV[3])
local totals = {}
for index, name in ipairs(used) do
  totals[index] = redis.call('HINCRBY', key, 'n:' .. id .. ':' .. name, ARGV[3 + index])
end
return totals
`;

export const knownForLua = `
${storeAgeLua}
local nowMs, _, atMs = storeAge(KEYS[1], ARGV[1])
return whole(nowMs - atMs)
`;
