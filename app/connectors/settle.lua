-- What an answer means to everybody who calls for this instance. Times are microseconds since 1970, lengths likewise.
--
-- KEYS  1 the budget of the instance (hash)  2 its slots (sorted set)
-- ARGV  1 now (empty: the server's clock)  2 key lives, ms  3 name of the grant ("": it has no slot)
--       4 prolong the slot by so much (0: give it back)  5 nobody may call for so long (0: no word of that)
--       6 calls left, as the vendor says ("": no word of that)  7 until its count begins anew  8 number of the grant
local function text(number) return string.format('%.0f', number) end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local prolong = tonumber(ARGV[4])
if ARGV[3] ~= '' and prolong > 0 then
  if redis.call('ZSCORE', KEYS[2], ARGV[3]) then redis.call('ZADD', KEYS[2], text(now + prolong), ARGV[3]) end
  redis.call('PEXPIRE', KEYS[2], text(prolong / 500))
elseif ARGV[3] ~= '' then
  redis.call('ZREM', KEYS[2], ARGV[3])
end

local block = tonumber(ARGV[5])
if block > 0 then
  local blocked = math.max(tonumber(redis.call('HGET', KEYS[1], 'blocked') or 0), now + block)
  redis.call('HSET', KEYS[1], 'blocked', text(blocked))
end

if ARGV[6] ~= '' then
  local known = redis.call('HMGET', KEYS[1], 'number', 'told')
  local granted, number = tonumber(known[1] or 0), tonumber(ARGV[8])
  if number > granted then number = 0 end -- of a memory that was lost: all that was granted since came later
  if number >= tonumber(known[2] or 0) then -- answers may overtake each other: the word on the later call counts
    -- Calls let go after this one are not in the vendor's figure.
    local left = tonumber(ARGV[6]) - math.max(0, granted - number)
    redis.call('HSET', KEYS[1], 'left', text(left), 'reset', text(now + tonumber(ARGV[7])), 'told', text(number))
  end
end
if block > 0 or ARGV[6] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
