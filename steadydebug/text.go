package steadydebug

import (
	"fmt"
	"io"
	"strings"
	"time"
)

func (s snapshot) writeText(w io.Writer) {
	fmt.Fprintf(w, "steadyhttp at %s\n%s\n", s.Time.Format(wordsTime), s.headline())
	if len(s.Transports) == 0 {
		fmt.Fprintln(w, "\nno transports were given")
	}
	for _, t := range s.Transports {
		t.writeText(w, s.Time)
	}
}

func (t transport) writeText(w io.Writer, now time.Time) {
	if t.Policy == "" {
		fmt.Fprintf(w, "\ntransport %d: nil\n", t.Index)
		return
	}
	fmt.Fprintf(w, "\ntransport %d: %s\n", t.Index, printable(t.Policy))
	if t.Fleet != nil {
		t.Fleet.writeText(w, now)
	}
	for _, o := range t.worstFirst() {
		fmt.Fprintf(w, "\n%s\n", o.name())
		o.writeText(w, now)
	}
}

func (f *fleet) writeText(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "fleet: %s\n", f.words())
	for _, a := range f.Advice {
		fmt.Fprintf(w, "advice: %s\n", a.words(now))
	}
}

func (o origin) writeText(w io.Writer, now time.Time) {
	line := func(name string, facts ...string) {
		if text := joined(facts...); text != "" {
			fmt.Fprintf(w, "  %-8s %s\n", name, text)
		}
	}
	if b := o.Breaker; b != nil {
		line("breaker", b.mode(), b.why(), b.sinceWhen(now), b.nextProbe(now), said(b.Shadow, "shadow: rejects nothing"))
		line("window", b.window())
	}
	line("retries", said(o.RetriesSuspended, "suspended"), o.budget())
	line("calls", o.calls())
	line("pause", o.pause(now))
	if o.Breaker != nil {
		for _, c := range o.Breaker.Changes {
			line("change", c.words())
		}
	}
}

func said(so bool, text string) string {
	if so {
		return text
	}
	return ""
}

// joined leaves out what is empty.
func joined(facts ...string) string {
	var present []string
	for _, fact := range facts {
		if fact != "" {
			present = append(present, fact)
		}
	}
	return strings.Join(present, "; ")
}
