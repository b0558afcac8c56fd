package steadyhttp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"reflect"
	"slices"
)

// isTLSMismatch finds by their types the errors of TLS that are the same tomorrow. isTLSRefusal knows those that
// have none.
func isTLSMismatch(err error) bool {
	var (
		plaintext tls.RecordHeaderError
		hello     *tls.ECHRejectionError
	)
	return isCertificateError(err) || isTLSAlert(err) || errors.As(err, &plaintext) || errors.As(err, &hello)
}

// isCertificateError looks for the wrapper and for the types in it: a VerifyPeerCertificate function
// may return one of them bare, and Go 1.20 introduced the wrapper.
func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		roots        x509.SystemRootsError
		algorithm    x509.InsecureAlgorithmError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) ||
		errors.As(err, &invalid) || errors.As(err, &roots) || errors.As(err, &algorithm)
}

// The operations by which crypto/tls tells in a net.OpError who sent an alert.
const (
	remoteAlert = "remote error"
	localAlert  = "local error"
)

func isAlert(op *net.OpError) bool { return op.Op == remoteAlert || op.Op == localAlert }

// Alerts that tell of what may not happen again (RFC 8446 §6.2). Of the peer's those are bad_record_mac, that
// something was corrupted on the way, and internal_error, that it failed for a reason that has nothing to do with
// us. Our own are also about what the peer sent, which may be corrupted: unexpected_message, record_overflow,
// decode_error, decrypt_error.
var (
	passingRemoteAlerts = []uint64{20, 80}
	passingLocalAlerts  = []uint64{10, 20, 22, 50, 51, 80}
)

// isTLSAlert reports whether one side refused TLS: a version, a cipher, our certificate; we a renegotiation, by
// which a server asks for that. crypto/tls wraps its unexported alert, a uint8, in a net.OpError, so
// tls.AlertError does not match.
func isTLSAlert(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || !isAlert(op) {
		return false
	}
	alert := reflect.ValueOf(op.Err)
	if alert.Kind() != reflect.Uint8 {
		return op.Op == remoteAlert
	}
	if op.Op == remoteAlert {
		return !slices.Contains(passingRemoteAlerts, alert.Uint())
	}
	return !slices.Contains(passingLocalAlerts, alert.Uint())
}
