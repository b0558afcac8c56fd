-- Counts a process in for half a minute. KEYS: the members. ARGV: the process.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local added = redis.pcall('ZADD', KEYS[1], now, ARGV[1])
if added == nil or type(added) == 'table' and added.err then -- somebody else wrote another type here
	redis.call('DEL', KEYS[1])
	redis.call('ZADD', KEYS[1], now, ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 30000)
redis.call('PEXPIRE', KEYS[1], 30000)
return string.format('%.0f', redis.call('ZCARD', KEYS[1]))
