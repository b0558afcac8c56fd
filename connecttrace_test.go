package steadyhttp_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// hidingBase returns errors of its own, in which nothing of net/http's is to be found.
func hidingBase(base *http.Transport) http.RoundTripper {
	return baseFunc{func(r *http.Request) (*http.Response, error) {
		response, err := base.RoundTrip(r)
		if err != nil {
			return nil, errors.New("no backend")
		}
		return response, nil
	}}
}

func TestConnectTrace_HiddenLookupThatFailedIsAnAccident(t *testing.T) {
	t.Parallel()
	assertRetriedUnprocessed(t, hidingBase(&http.Transport{DialContext: dialResolving(t, rcodeServerFailure)}), newPost(t))
}

func TestConnectTrace_HiddenNameThatDoesNotExistIsPermanent(t *testing.T) {
	t.Parallel()
	assertRefused(t, hidingBase(&http.Transport{DialContext: dialResolving(t, rcodeNameError)}), newPost(t))
}

func TestConnectTrace_HiddenRefusalOfTLSIsPermanent(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startTLS, echoHandler)
	assertRefused(t, hidingBase(&http.Transport{}), newWireRequest(t, http.MethodPost, server.URL, ""))
}

// What failed on the way to an address that was reached in the end is not why the dialer refused.
func TestConnectTrace_OfSeveralAddressesOneWasReached(t *testing.T) {
	t.Parallel()
	server, dead := newWireServer(t, startPlain, echoHandler), newRefusingAddress(t)
	for name, addresses := range map[string][]string{"dead first": {dead, ""}, "dead last": {"", dead}} {
		guard := func(ctx context.Context, network, address string) (net.Conn, error) {
			for _, other := range addresses {
				if other == "" {
					other = address
				}
				if conn, err := dialDefault(ctx, network, other); err == nil {
					_ = conn.Close()
				}
			}
			return nil, errRefusal
		}
		err := assertRefused(t, &http.Transport{DialContext: guard}, newWireRequest(t, http.MethodPost, server.URL, ""))
		assert.Equal(t, errRefusal, err, name)
	}
}

// As long as anything of a connection is being made, a request waits for that, and not in a queue.
func TestConnectTrace_NoStepOfADialIsTakenForAQueue(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	defer close(released)
	hang := func(context.Context, string, string, syscall.RawConn) error { <-released; return errUnknown }
	hangingLookup := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { <-released; return nil, errUnknown }}
	silent := newTCPServer(t, readAll)
	for name, c := range map[string]struct {
		url  string
		dial dialFunc
	}{
		"a lookup": {"http://steady.example/", (&net.Dialer{Resolver: hangingLookup}).DialContext},
		"connect":  {"http://" + silent, (&net.Dialer{ControlContext: hang}).DialContext},
		"TLS, after a dial that is not traced": {"https://" + silent, func(_ context.Context, network, address string) (net.Conn, error) {
			return dialDefault(context.Background(), network, address)
		}},
	} {
		transport := newWireTransport(t, &http.Transport{DialContext: c.dial, MaxConnsPerHost: 1},
			steadyhttp.WithAttemptTimeout(shortTimeout), steadyhttp.WithMaxAttempts(1))
		call := sendWire(t, transport, newWireRequest(t, http.MethodGet, c.url, ""))
		require.ErrorIs(t, call.err, steadyhttp.ErrAttemptTimeout)
		call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient)
		assert.EqualValues(t, 1, onlyBreaker(t, transport).Failures, name)
	}
}
