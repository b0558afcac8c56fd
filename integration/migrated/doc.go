// Package migrated has small programs, each of them twice: as users of another retry library write them, and on steadyhttp.
// Its test plays the same script to both, and says why they differ where they do.
//
// docs/migrating.md shows the second of each pair. Its code is taken from these files.
package migrated

import "net/http"

// A caller makes calls, as an http.Client does.
type caller interface {
	Do(*http.Request) (*http.Response, error)
}

// A callFunc is a function that is a caller.
type callFunc func(*http.Request) (*http.Response, error)

func (f callFunc) Do(request *http.Request) (*http.Response, error) { return f(request) }

// A program makes its caller over this base transport.
type program func(base http.RoundTripper) (caller, error)
