package steadyhttp

import (
	"net"
	"reflect"
	"slices"
)

// The operations by which crypto/tls tells in a net.OpError who sent an alert.
const (
	remoteAlert = "remote error"
	localAlert  = "local error"
)

// Alerts that tell of what may pass (RFC 8446 §6.2). Of the peer's those are bad_record_mac, that something was
// corrupted on the way, and internal_error, that it failed for a reason that has nothing to do with us. Our own are
// also about what the peer sent, which may have been corrupted: unexpected_message, record_overflow, decode_error,
// decrypt_error.
var (
	passingRemoteAlerts = []uint64{20, 80}
	passingLocalAlerts  = []uint64{10, 20, 22, 50, 51, 80}
)

// factsOfAlert says whether one side refused TLS: the peer a version, a cipher or our certificate, we a renegotiation,
// by which a server asks for one. crypto/tls wraps its unexported alert, a uint8, so tls.AlertError does not match.
func factsOfAlert(op *net.OpError) errorFacts {
	alert, passing := reflect.ValueOf(op.Err), passingRemoteAlerts
	known := alert.Kind() == reflect.Uint8
	if op.Op == localAlert {
		if !known {
			return 0
		}
		passing = passingLocalAlerts
	}
	if known && slices.Contains(passing, alert.Uint()) {
		return 0
	}
	return permanentFact
}
