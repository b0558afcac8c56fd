package steadyhttp

import "errors"

// LocalError marks an error of a base transport as our own side's: no token could be fetched, a limiter
// refused, a policy forbids the host.
//
// Such an error is [Permanent]: the request is not retried, the breaker does not count it, since the server
// had no part in it, and the caller gets it as it is. [errors.Is] and [errors.As] reach err through it, and
// its text is err's. It counts wherever it is in the tree of an error, and before the deadline of the caller:
// who waits for a limiter until the deadline blames no server. LocalError(nil) is nil.
//
// Return it from a base transport, or from what a base transport calls: a dialer, a source of tokens.
//
//	if err := limiter.Wait(request.Context()); err != nil {
//		return nil, steadyhttp.LocalError(err)
//	}
func LocalError(err error) error {
	if err == nil {
		return nil
	}
	return &localError{err}
}

type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// Timeout makes the mark transparent to [net/url.Error.Timeout], which asks the outermost error alone.
func (e *localError) Timeout() bool { return isTimeout(e.err) }

func isLocalError(err error) bool {
	var local *localError
	return errors.As(err, &local)
}
