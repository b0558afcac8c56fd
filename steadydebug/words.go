package steadydebug

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/steadyhttp/steadyhttp"
)

// What people read, in text and in HTML.

const wordsTime = "2006-01-02 15:04:05 UTC"

// mode is the state of a breaker, in a word.
func (b *breaker) mode() string {
	switch {
	case b.Isolated:
		return "isolated"
	case b.State == steadyhttp.BreakerHalfOpen:
		return "half-open"
	default:
		return b.State.String()
	}
}

// why is the reason of the state, or of the change that led to it; empty if there was none.
func (b *breaker) why() string {
	if b.Reason != "" || len(b.Changes) == 0 {
		return printable(b.Reason)
	}
	return printable(b.Changes[len(b.Changes)-1].Reason)
}

func (b *breaker) sinceWhen(now time.Time) string {
	if b.Since.IsZero() {
		return "since the first call"
	}
	return "since " + b.Since.Format(wordsTime) + ", " + ago(now, b.Since)
}

// nextProbe is empty for a closed breaker.
func (b *breaker) nextProbe(now time.Time) string {
	switch {
	case b.Isolated:
		return "no probe until it is reset"
	case b.State == steadyhttp.BreakerHalfOpen:
		return "a probe is under way"
	case b.State != steadyhttp.BreakerOpen:
		return ""
	case !b.RetryAt.After(now):
		return "the next call is a probe"
	default:
		return "next probe in " + readable(b.RetryAt.Sub(now))
	}
}

func (b *breaker) window() string {
	return counted(int(b.Requests), "request") + ", " + counted(int(b.Failures), "failure")
}

func (c change) words() string {
	text := fmt.Sprintf("%s %s → %s", c.At.Format(wordsTime), c.From, c.To)
	if c.Reason == "" {
		return text
	}
	return text + ": " + printable(c.Reason)
}

// words are who shares, and how well.
func (f *fleet) words() string {
	members := "members not known"
	if f.Members > 0 {
		members = counted(f.Members, "member")
	}
	if f.Alone {
		return members + "; out of reach: breakers are on their own"
	}
	return members + "; lag " + (time.Duration(f.Lag * float64(time.Second))).Round(100*time.Microsecond).String()
}

func (a advice) words(now time.Time) string {
	words := printable(a.Origin) + ": " + printable(a.Phase)
	if a.Since.IsZero() { // a fleet need not tell
		return words
	}
	return words + " since " + a.Since.Format(wordsTime) + ", " + ago(now, a.Since)
}

func (o origin) name() string { return printable(o.Origin) }

func (o origin) budget() string {
	if o.Budget == nil {
		return "no budget"
	}
	return "budget for " + strconv.FormatFloat(*o.Budget, 'f', 1, 64) + " retries"
}

func (o origin) calls() string {
	text := counted(o.Calls, "call") + " under way"
	if o.Waiting == 0 {
		return text
	}
	return text + ", " + strconv.Itoa(o.Waiting) + " waiting"
}

// pause is empty where there is none.
func (o origin) pause(now time.Time) string {
	switch {
	case o.Pause.State == steadyhttp.PauseIdle:
		return ""
	case !o.Pause.Until.After(now):
		return o.Pause.State.String()
	default:
		return o.Pause.State.String() + " until " + o.Pause.Until.Format(wordsTime) + ", in " + readable(o.Pause.Until.Sub(now))
	}
}

// trouble is higher the sooner somebody must know.
func (o origin) trouble() int {
	switch b := o.Breaker; {
	case b != nil && b.Isolated:
		return 5
	case b != nil && b.State == steadyhttp.BreakerOpen:
		return 4
	case b != nil && b.State == steadyhttp.BreakerHalfOpen:
		return 3
	case o.Pause.State != steadyhttp.PauseIdle:
		return 2
	case o.RetriesSuspended:
		return 1
	default:
		return 0
	}
}

// worstFirst are the origins with those first that are in trouble, else by name.
func (t transport) worstFirst() []origin {
	origins := slices.Clone(t.Origins)
	slices.SortStableFunc(origins, func(a, b origin) int { return cmp.Compare(b.trouble(), a.trouble()) })
	return origins
}

// headline counts what is not as usual.
func (s snapshot) headline() string {
	counts, origins := map[string]int{}, 0
	for _, t := range s.Transports {
		for _, o := range t.Origins {
			origins++
			o.countInto(counts)
		}
	}
	var told []string
	for _, what := range []string{"isolated", "open", "half-open", "paused", "with retries suspended"} {
		if counts[what] > 0 {
			told = append(told, strconv.Itoa(counts[what])+" "+what)
		}
	}
	if len(told) == 0 {
		told = []string{"nothing unusual"}
	}
	return counted(origins, "origin") + ": " + strings.Join(told, ", ")
}

func (o origin) countInto(counts map[string]int) {
	if o.Breaker != nil {
		counts[o.Breaker.mode()]++
	}
	if o.Pause.State != steadyhttp.PauseIdle {
		counts["paused"]++
	}
	if o.RetriesSuspended {
		counts["with retries suspended"]++
	}
}

// A setting is one of the policy.
type setting struct {
	Text      string
	IsDefault bool
}

// settings are those of Transport.String. Only the last one, the type of the base, may have spaces in it.
func (t transport) settings() (settings []setting) {
	options, base, ok := strings.Cut(t.Policy, " Base=")
	if !ok {
		return []setting{{Text: printable(t.Policy)}}
	}
	for _, text := range append(strings.Fields(options), "Base="+base) {
		text, isDefault := strings.CutSuffix(text, "(default)")
		settings = append(settings, setting{printable(text), isDefault})
	}
	return settings
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

func ago(now, then time.Time) string { return readable(now.Sub(then)) + " ago" }

// readable keeps as many digits as a reader wants.
func readable(d time.Duration) string {
	if d < 10*time.Second {
		return max(d, 0).Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// quoted names a value of somebody's input, of which not too much is repeated.
func quoted(value string) string {
	const limit = 100
	if len(value) <= limit {
		return strconv.QuoteToGraphic(value)
	}
	return strconv.QuoteToGraphic(value[:limit]) + fmt.Sprintf("… (%d bytes)", len(value))
}

// printable is a text on one line, with a space for all that steers a terminal or turns the direction of writing: an origin
// may be named by WithOriginKey, and a reason by anybody.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}
