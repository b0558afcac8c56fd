-- Counts a process in for half a minute. KEYS: the members. ARGV: the process.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 30000)
redis.call('PEXPIRE', KEYS[1], 30000)
return string.format('%.0f', redis.call('ZCARD', KEYS[1]))
