package main

import (
	"fmt"
	"strings"
)

// String says in words what a scenario is.
func (c scenario) String() string { return fmt.Sprintf("%s: %v for %v", c.name, c.trouble, c.lasting) }

func (t trouble) String() string {
	var words []string
	say := func(so bool, format string, values ...any) {
		if so {
			words = append(words, fmt.Sprintf(format, values...))
		}
	}
	say(t.refused > 0, "%v answered 503", portion(t.refused))
	say(t.hung > 0, "%v never answered", portion(t.hung))
	say(t.badPath, "one path of four answered 503")
	say(t.capacity > 0, "capacity at %v %%", 100*t.capacity)
	say(t.shedding > 0, "503 beyond a queue of %d", t.shedding)
	say(t.delay > 0, "answers %v late", t.delay)
	say(t.throttled > 0, "%v answered 429 with Retry-After: %d", portion(t.throttled), t.retryAfter)
	say(t.limit > 0, "more than %v attempts a second answered 429 with Retry-After: %d", t.limit, t.retryAfter)
	say(t.limitedPath, "an endpoint of 10 %% of the calls answered 429 with Retry-After: %d", t.retryAfter)
	say(t.cutOff > 0, "%v %% of the clients cut off", 100*t.cutOff)
	say(t.restarting, "connections of a tenth of the clients in turn refused")
	return strings.Join(words, ", ")
}

func portion(share float64) string {
	if share == 1 {
		return "every attempt"
	}
	return fmt.Sprintf("%.4g %% of the attempts", 100*share)
}
