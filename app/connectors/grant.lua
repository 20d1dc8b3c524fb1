-- May one call be made now? All or nothing, and nobody else in between. Times are microseconds since 1970.
--
-- KEYS  1 the budget of the instance (hash)  2 its slots (sorted set: who calls now, by when that ends)
--       3 what is known of this server (hash)
-- ARGV  1 now (empty: the server's clock)  2 run id of the server  3 when the instance was made  4 key lives, ms
--       5 slots (0: no limit)  6 a slot lives  7 name of the grant  8 day ("": no quota), behind its time zone if any
--       9 calls to add to its quota
--       10 the asker waits  11 the asker has been served for a while
--       then name, calls, span of each window
-- Returns {granted, wait, what refuses, number of the grant}.
--
-- A window is counted in buckets of 1/64 of its span, and a bucket counts until its last moment has left the window:
-- so no window of that span, wherever it begins, ever holds more, and the memory does not grow with the calls.
local BUCKETS = 64
local QUEUE_US = 30000000
local SLOT_WAIT_US = 100000
local HUNGRY_US = 300000
local CLOCK_US = 1000000

local function text(number) return string.format('%.0f', number) end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local day, refill, waits = ARGV[8], tonumber(ARGV[9]), ARGV[10] == '1'
local slot_count = tonumber(ARGV[5])

-- A server that is new, restarted or wiped knows nothing of what was called before: then every window counts as just
-- used up and every slot as just taken, but for instances that did not exist before.
local server = redis.call('HMGET', KEYS[3], 'run', 'since')
local since = tonumber(server[2] or '')
if server[1] ~= ARGV[2] or not since or since > now then
  since = now
  redis.call('HSET', KEYS[3], 'run', ARGV[2], 'since', text(now))
end

-- The same moment may be of an earlier day in a zone that the connector is changed to.
local day_field = 'day' .. string.match(day, '^(.-)[%d-]*$')
local quota_field = 'quota' .. string.sub(day_field, 4)
local kept = redis.call('HMGET', KEYS[1], 'last', 'full', 'blocked', 'left', 'reset', 'turn', 'number', day_field,
  quota_field, 'hungry')
local last, full = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
if last > now + CLOCK_US then -- the clock was set back: what is counted lies in the future and would never leave
  redis.call('DEL', KEYS[1])
  kept, last, full = {}, 0, now
  redis.call('HSET', KEYS[1], 'full', text(now))
elseif last > now then
  now = last
end
if tonumber(ARGV[3]) <= since then full = math.max(full, since) end

local wait, refused_by, interval = 0, '', 0
local function hold(until_us, what, share)
  if until_us - now > wait then wait, refused_by, interval = until_us - now, what, share or 0 end
end

if slot_count > 0 and tonumber(ARGV[3]) <= since then hold(since + tonumber(ARGV[6]), 'slots') end
hold(tonumber(kept[3] or 0), 'vendor')
local left, reset = tonumber(kept[4] or 0), tonumber(kept[5] or 0)
if left <= 0 then hold(reset, 'vendor') end

local rings = {}
for i = 12, #ARGV, 3 do
  local name, calls, span = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local width = math.ceil(span / BUCKETS)
  local stored = redis.call('HGET', KEYS[1], name)
  local buckets, counts, used = {}, {}, 0
  for bucket, count in string.gmatch(stored or '', '(%d+):(%d+)') do
    bucket, count = tonumber(bucket), tonumber(count)
    if (bucket + 1) * width + span > now then
      buckets[#buckets + 1], counts[#counts + 1] = bucket, count
      used = used + count
    end
  end
  local gone = 0
  for k = 1, #buckets do
    if used - gone < calls then break end
    gone = gone + counts[k]
    if used - gone < calls then hold((buckets[k] + 1) * width + span, name, span / calls) end
  end
  -- A window of the whole instance that was not counted so far: its last call may have been the last of many.
  local known_from = full
  if not stored and string.sub(name, 1, 4) == 'all:' then known_from = math.max(known_from, last) end
  if known_from > 0 then hold(known_from + span, name, span / calls) end
  rings[#rings + 1] = {name, width, buckets, counts}
end

local function keep(...)
  redis.call('HSET', KEYS[1], ...)
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end

local quota_day, quota = kept[8] or '', tonumber(kept[9] or 0)
if day > quota_day then quota_day, quota = day, 0 end
if refill > 0 and day == quota_day then
  quota = quota + refill
  keep(day_field, quota_day, quota_field, text(quota))
end

if wait > 0 then
  if waits and interval > 0 then -- those who wait come back one after another, as the window lets them
    local free_at = now + wait
    local turn = math.min(math.max(tonumber(kept[6] or 0), free_at), free_at + QUEUE_US)
    keep('turn', text(turn + interval))
    wait = turn - now
  end
  return {0, math.ceil(wait), refused_by, 0}
end

if slot_count > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now))
  local yields = (ARGV[11] == '1' or not waits) and tonumber(kept[10] or 0) > now
  if yields or redis.call('ZCARD', KEYS[2]) >= slot_count then
    if waits and not yields then keep('hungry', text(now + HUNGRY_US)) end
    return {0, yields and HUNGRY_US / 2 or SLOT_WAIT_US, 'slots', 0}
  end
end

if day ~= '' then
  if quota < 1 then return {0, 0, 'quota', 0} end
  keep(day_field, quota_day, quota_field, text(quota - 1))
end

if slot_count > 0 then
  redis.call('ZADD', KEYS[2], text(now + tonumber(ARGV[6])), ARGV[7])
  redis.call('PEXPIRE', KEYS[2], text(tonumber(ARGV[6]) / 500))
end

for _, ring in ipairs(rings) do
  local name, width, buckets, counts = ring[1], ring[2], ring[3], ring[4]
  local bucket = math.floor(now / width)
  if buckets[#buckets] == bucket then
    counts[#counts] = counts[#counts] + 1
  else
    buckets[#buckets + 1], counts[#counts + 1] = bucket, 1
  end
  local words = {}
  for k = 1, #buckets do words[k] = text(buckets[k]) .. ':' .. text(counts[k]) end
  redis.call('HSET', KEYS[1], name, table.concat(words, ' '))
end
local number = tonumber(kept[7] or 0) + 1
if reset > now then left = left - 1 end
keep('last', text(now), 'number', text(number), 'left', text(left))
return {1, 0, '', number}
