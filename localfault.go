package steadyhttp

import (
	"slices"
	"strings"
)

// A faultTable has the numbers by which an operating system says that this machine is at fault, and not the server.
type faultTable struct {
	exhausted   []error // no descriptor or port: only a connection that is still to be made needs one, so nothing was sent
	unreachable []error // no memory, no network, no permission: an established connection may meet these as well
}

func (t *faultTable) find(number error) errorFacts {
	return t.findBy(func(fault error) bool { return fault == number })
}

// findText finds a number by its message at the end of a text.
func (t *faultTable) findText(text string) errorFacts {
	return t.findBy(func(fault error) bool { return strings.HasSuffix(text, fault.Error()) })
}

func (t *faultTable) findBy(is func(error) bool) errorFacts {
	switch {
	case slices.ContainsFunc(t.exhausted, is):
		return localFact | unprocessedFact
	case slices.ContainsFunc(t.unreachable, is):
		return localFact
	default:
		return 0
	}
}
