package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp"
)

// parse reads the command line.
func parse(args []string) (*plan, error) {
	p := &plan{setting: defaults(), repeat: 1}
	flags := p.flags()
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected %q: every setting is a flag, see -h", flags.Arg(0))
	}
	return p, p.complete()
}

func usage(out io.Writer) {
	fmt.Fprint(out, `go run ./fleet [flags]

Prints what fleets of each library's clients do to a server in trouble. A steadyhttp with options of yours
is put beside the one with the defaults; a trouble of yours takes the place of the scenarios, or changes
those that you choose.

`)
	flags := new(plan).flags()
	flags.SetOutput(out)
	flags.PrintDefaults()
}

func (p *plan) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error, without the usage
	p.fleetFlags(flags)
	p.troubleFlags(flags)
	p.sharingFlags(flags)
	p.optionFlags(flags)
	p.outputFlags(flags)
	return flags
}

func (p *plan) fleetFlags(flags *flag.FlagSet) {
	s := &p.setting
	flags.Func("scenario", "a `name`, or a part of some; may be given more than once", also(&p.asked.scenarios))
	flags.Func("library", "a `name`, or a part of some; may be given more than once", also(&p.asked.libraries))
	flags.Func("clients", "the `sizes` of the fleets (default 50,200,1000)", into(&p.sizes, list(from(1))))
	flags.Func("rate", "`calls` a second, of all clients together (default 1000)", into(&s.rate, rate))
	flags.Func("workers", "the server's `workers` (default 15)", into(&s.workers, from(1)))
	flags.Func("service", "`time` that a worker takes for an attempt (default 10ms)", into(&s.service, some))
	flags.Func("patience", "`time` that an attempt waits for its response (default 1s)", into(&s.patience, some))
	flags.Func("deadline", "`time` that a call has, with its retries (default none)", into(&s.deadline, some))
	flags.Func("before", "`time` in health before the trouble (default 15s)", into(&s.before, stretch))
	flags.Func("after", "`time` in health after it (default 30s)", into(&s.after, stretch))
	flags.Func("seed", "`number` that the calls and the server's chances follow from (default 1)", into(&s.seed, seed))
}

func (p *plan) troubleFlags(flags *flag.FlagSet) {
	flags.Func("lasting", "`time` that the trouble lasts (default 20s)", change(p, stretch, func(c *scenario, d time.Duration) { c.lasting = d }))
	flags.Func("refused", "`share` of the attempts that are answered 503 at once", change(p, share, func(c *scenario, s float64) { c.trouble.refused = s }))
	flags.Func("hung", "`share` of the attempts that are never answered", change(p, share, func(c *scenario, s float64) { c.trouble.hung = s }))
	flags.BoolFunc("bad-path", "one path of four is answered 503 at once; the others' calls are what the figures tell of", change(p, strconv.ParseBool, func(c *scenario, b bool) { c.trouble.badPath = b }))
	flags.Func("capacity", "`share` of the workers' speed that is left", change(p, part, func(c *scenario, s float64) { c.trouble.capacity = s }))
	flags.Func("shedding", "`length` of the queue beyond which an attempt is answered 503", change(p, from(1), func(c *scenario, n int) { c.trouble.shedding = n }))
	flags.Func("delay", "`time` added to every response", change(p, some, func(c *scenario, d time.Duration) { c.trouble.delay = d }))
	flags.Func("throttled", "`share` of the attempts that are answered 429", change(p, share, func(c *scenario, s float64) { c.trouble.throttled = s }))
	flags.Func("limit", "`attempts` a second that are let in, the others answered 429", change(p, rate, func(c *scenario, r float64) { c.trouble.limit = r }))
	flags.BoolFunc("limited-path", "an endpoint of a tenth of the calls is answered 429; the others' calls are what the figures tell of", change(p, strconv.ParseBool, func(c *scenario, b bool) { c.trouble.limitedPath = b }))
	flags.Func("cut-off", "`share` of the clients that reach nobody; the others' calls are what the figures tell of", change(p, share, func(c *scenario, s float64) { c.trouble.cutOff = s }))
	flags.Func("retry-after", "`seconds` in the 429's Retry-After", change(p, from(0), func(c *scenario, n int) { c.trouble.retryAfter = n }))
	flags.BoolFunc("restarting", "each second the connections of another tenth of the clients are refused for 0.3 s", change(p, strconv.ParseBool, func(c *scenario, b bool) { c.trouble.restarting = b }))
}

func (p *plan) sharingFlags(flags *flag.FlagSet) {
	s := &p.setting
	flags.Func("sharing", "put a steadyhttp whose clients share beside it, over a store so much `time` away, such as 2ms", func(text string) (err error) {
		s.sharing.on = true
		s.sharing.delay, err = some(text)
		return err
	})
	flags.Func("sick", "`share` of the clients that are always answered 503, and not counted", into(&s.sick, share))
	flags.Func("silent", "`share` of the clients that do not share", into(&s.sharing.silent, share))
	flags.Func("store-from", "`time` from which on the store is there (default 0s)", into(&s.sharing.from, some))
	flags.Func("store-until", "`time` until which the store is there (default for ever)", into(&s.sharing.until, some))
	flags.Func("store-flushed", "`time` at which the store forgets everything (default never)", into(&s.sharing.flushed, some))
}

func (p *plan) optionFlags(flags *flag.FlagSet) {
	flags.Func("attempts", "WithMaxAttempts: a `number`, such as 3", option(p, "attempts", whole, steadyhttp.WithMaxAttempts))
	flags.Func("backoff", "WithBackoff: `initial,longest`, such as 200ms,10s", option2(p, "backoff", time.ParseDuration, time.ParseDuration, steadyhttp.WithBackoff))
	flags.Func("budget", "WithRetryBudget: `ratio,burst`, such as 0.2,5", option2(p, "budget", decimal, whole, steadyhttp.WithRetryBudget))
	flags.Func("breaker-rate", "WithBreakerFailureRate: `rate,requests`, such as 0.5,10", option2(p, "breaker-rate", decimal, whole, steadyhttp.WithBreakerFailureRate))
	flags.Func("breaker-run", "WithBreakerConsecutiveFailures: `failures,lasting`, such as 3,800ms", option2(p, "breaker-run", whole, time.ParseDuration, steadyhttp.WithBreakerConsecutiveFailures))
	flags.Func("breaker-timeouts", "WithBreakerConsecutiveTimeouts: `timeouts,lasting`, such as 3,2s", option2(p, "breaker-timeouts", whole, time.ParseDuration, steadyhttp.WithBreakerConsecutiveTimeouts))
	flags.Func("open", "WithBreakerOpenFor: a `time`, such as 1s", option(p, "open", time.ParseDuration, steadyhttp.WithBreakerOpenFor))
	flags.Func("window", "WithBreakerWindow: a `time`, such as 5s", option(p, "window", time.ParseDuration, steadyhttp.WithBreakerWindow))
	flags.Func("attempt-timeout", "WithAttemptTimeout: a `time`, such as 500ms", option(p, "attempt-timeout", time.ParseDuration, steadyhttp.WithAttemptTimeout))
	flags.Func("max-retry-after", "WithMaxRetryAfter: a `time`, such as 1m", option(p, "max-retry-after", time.ParseDuration, steadyhttp.WithMaxRetryAfter))
	flags.Func("origin-pause", "WithOriginPause: a `number` of calls that may wait, such as 1000", option(p, "origin-pause", whole, steadyhttp.WithOriginPause))
	flags.BoolFunc("no-budget", "WithoutRetryBudget", without(p, "no-budget", steadyhttp.WithoutRetryBudget))
	flags.BoolFunc("no-breaker", "WithoutBreaker", without(p, "no-breaker", steadyhttp.WithoutBreaker))
}

func (p *plan) outputFlags(flags *flag.FlagSet) {
	flags.BoolVar(&p.list, "list", false, "print what was chosen for each library in place of the table")
	flags.BoolVar(&p.markdown, "markdown", false, "print the table in Markdown")
	flags.Func("repeat", "`times` that each row is played; the same seed each time (default 1)", into(&p.repeat, from(1)))
	flags.StringVar(&p.plot, "plot", "", "draw goodput and load over time into this `folder` in place of the table")
}

// into lets a flag set a variable.
func into[T any](variable *T, read func(string) (T, error)) func(string) error {
	return func(text string) (err error) {
		*variable, err = read(text)
		return err
	}
}

// also lets a flag be given more than once.
func also(texts *[]string) func(string) error {
	return func(text string) error {
		*texts = append(*texts, text)
		return nil
	}
}

// change lets a flag change the scenarios.
func change[T any](p *plan, read func(string) (T, error), apply func(*scenario, T)) func(string) error {
	return func(text string) error {
		value, err := read(text)
		p.changes = append(p.changes, func(c *scenario) { apply(c, value) })
		return err
	}
}

// option lets a flag stand for an option of steadyhttp, which knows best what is valid.
func option[T any](p *plan, name string, read func(string) (T, error), with func(T) steadyhttp.Option) func(string) error {
	return func(text string) error {
		value, err := read(text)
		p.add("-"+name+" "+text, with(value))
		return err
	}
}

// option2 is option for two values with a comma between.
func option2[T, U any](p *plan, name string, first func(string) (T, error), second func(string) (U, error), with func(T, U) steadyhttp.Option) func(string) error {
	return func(text string) error {
		left, right, found := strings.Cut(text, ",")
		if !found {
			return errors.New("want two values with a comma between, see -h")
		}
		one, err := first(left)
		if err != nil {
			return err
		}
		other, err := second(right)
		p.add("-"+name+" "+text, with(one, other))
		return err
	}
}

func without(p *plan, name string, option func() steadyhttp.Option) func(string) error {
	return func(text string) error {
		if on, err := strconv.ParseBool(text); err != nil || !on {
			return err
		}
		p.add("-"+name, option())
		return nil
	}
}

func (p *plan) add(given string, option steadyhttp.Option) {
	p.given, p.options = append(p.given, given), append(p.options, option)
}

// most bounds counts and rates: a fleet beyond it would run for days.
const most = 1_000_000

func whole(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("want a whole number")
	}
	return n, nil
}

// from reads a whole number of at least that.
func from(least int) func(string) (int, error) {
	return func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("want a whole number from %d to %d", least, most)
		}
		return n, nil
	}
}

func list[T any](read func(string) (T, error)) func(string) ([]T, error) {
	return func(text string) (values []T, err error) {
		for one := range strings.SplitSeq(text, ",") {
			value, err := read(one)
			if err != nil {
				return nil, err
			}
			values = append(values, value)
		}
		return values, nil
	}
}

func seed(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, errors.New("want a whole number of at least 0")
	}
	return n, nil
}

func decimal(text string) (float64, error) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, errors.New("want a number")
	}
	return x, nil
}

// inRange reads a number that holds what is wanted of it. NaN holds nothing.
func inRange(text string, holds func(float64) bool, want string) (float64, error) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !holds(x) {
		return 0, errors.New(want)
	}
	return x, nil
}

func rate(text string) (float64, error) {
	return inRange(text, func(x float64) bool { return x >= 1 && x <= most }, fmt.Sprintf("want a number from 1 to %d", most))
}

func share(text string) (float64, error) {
	return inRange(text, func(x float64) bool { return x >= 0 && x <= 1 }, "want a share from 0 to 1")
}

// part is a share of which something is left.
func part(text string) (float64, error) {
	return inRange(text, func(x float64) bool { return x > 0 && x <= 1 }, "want a share above 0, up to 1")
}

// some is a time that is not nothing.
func some(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > longest {
		return 0, fmt.Errorf("want a time of more than 0 and up to %v, such as 10ms", longest)
	}
	return d, nil
}

// longest bounds times for the same reason as most does numbers.
const longest = 24 * time.Hour

// stretch is a time in which figures are kept, bucket by bucket.
func stretch(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > longest || d%bucket != 0 {
		return 0, fmt.Errorf("want a multiple of %v from %v to %v, such as 20s", bucket, least, longest)
	}
	return d, nil
}

// least is how long before and after the trouble must be looked at for there to be figures.
const least = 500 * time.Millisecond
