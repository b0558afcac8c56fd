package steadyhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"syscall"
)

// errorFacts are what an error tells of an attempt, by the types and the texts of all errors within it.
type errorFacts uint16

const (
	permanentFact   errorFacts = 1 << iota // a retry would give the same
	unprocessedFact                        // the server surely did not act on the request
	dialFact                               // it happened before there was a connection
	accidentFact                           // of all that can keep a connection from being made it is what may pass
	refusalFact                            // our own side or a proxy refused, in words that are used for nothing else
	localFact                              // this machine is at fault
	unreadableFact                         // what came over an HTTP/2 connection could not be read
	wireFact                               // it came from a connection
	closedFact                             // the connection was closed on our side
	netHTTPFact                            // net/http says it of a request,
	brokenFact                             // or of a connection that the request was sent on
)

func (f errorFacts) has(fact errorFacts) bool { return f&fact != 0 }

// factsOf looks at err and at all errors within it, once, as errors.Is walks them.
func factsOf(err error) errorFacts {
	if err == nil {
		return 0
	}
	facts := factsOfOne(err)
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		facts |= factsOf(wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			facts |= factsOf(inner)
		}
	}
	return facts
}

// factsOfOne looks at an error alone. Where a type is enough, its text is not made.
func factsOfOne(err error) errorFacts {
	switch typed := err.(type) {
	case *url.Error, *os.SyscallError: // they say nothing of their own
		return 0
	case syscall.Errno:
		return wireFact | accidentFact | localFaults.find(typed)
	case *net.OpError:
		return wireFact | factsOfOperation(typed)
	case *net.DNSError:
		return wireFact | unprocessedFact | accidentFact | factsOfLookup(typed)
	case *proxyError:
		return typed.facts()
	case *net.AddrError, *tls.CertificateVerificationError, tls.RecordHeaderError, *tls.ECHRejectionError,
		x509.UnknownAuthorityError, x509.HostnameError, x509.CertificateInvalidError, x509.SystemRootsError,
		x509.InsecureAlgorithmError: // a VerifyPeerCertificate function may return one of x509's bare
		return permanentFact
	case textproto.ProtocolError:
		return accidentFact
	default:
		return factsOfSentinel(err) | factsOfMethods(err) | factsOfHTTP2Code(err) | factsOfText(err)
	}
}

// factsOfOperation knows the operations that precede a connection (net.Dialer's, http.Transport.dialConn's, and those
// of the SOCKS dialer in net/http), and the alerts of TLS.
func factsOfOperation(op *net.OpError) errorFacts {
	switch op.Op {
	case "dial", "proxyconnect", "socks connect":
		return dialFact | unprocessedFact
	case remoteAlert, localAlert:
		return accidentFact | factsOfAlert(op)
	default:
		return 0
	}
}

// factsOfLookup also looks into the text: net.DNSError keeps of its cause nothing else (newDNSError), for example
// "dial udp 192.0.2.53:53: socket: too many open files".
func factsOfLookup(lookup *net.DNSError) errorFacts {
	facts := localFaults.findText(lookup.Err)
	if lookup.IsNotFound && !lookup.IsTemporary {
		facts |= permanentFact
	}
	return facts
}

// sentinels are known by identity, and to errors with a method Is.
var sentinels = []struct {
	err   error
	facts errorFacts
}{
	{io.EOF, wireFact | accidentFact}, {io.ErrUnexpectedEOF, wireFact | accidentFact}, {io.ErrClosedPipe, accidentFact},
	{net.ErrClosed, closedFact | accidentFact}, {context.Canceled, accidentFact}, {context.DeadlineExceeded, accidentFact},
}

func factsOfSentinel(err error) errorFacts {
	var facts errorFacts
	is, ok := err.(interface{ Is(error) bool })
	for _, sentinel := range sentinels {
		if err == sentinel.err || ok && is.Is(sentinel.err) {
			facts |= sentinel.facts
		}
	}
	return facts
}

// factsOfMethods believes an error that says of itself that it may pass.
func factsOfMethods(err error) errorFacts {
	var facts errorFacts
	if _, ok := err.(net.Error); ok {
		facts |= wireFact
	}
	timeout, ok := err.(interface{ Timeout() bool })
	if ok && timeout.Timeout() {
		facts |= accidentFact
	}
	temporary, ok := err.(interface{ Temporary() bool })
	if ok && temporary.Temporary() {
		facts |= accidentFact
	}
	return facts
}

// isLocalFault reports whether this machine is at fault, and not the server: out of descriptors, ports or
// memory, without a network, or with a firewall that forbids the connection.
func isLocalFault(err error) bool { return factsOf(err).has(localFact) }

// isAccident reports whether an error of making a connection tells of something that may pass: the network, the
// resolver, a deadline, a peer that hung up or spoke nonsense.
func isAccident(err error) bool { return factsOf(err).has(accidentFact) }

// hasErrorText finds an error by its whole text.
func hasErrorText(err error, text string) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err.Error() == text {
			return true
		}
	}
	return false
}
