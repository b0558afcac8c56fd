package steadyhttp

import (
	"errors"
	"net"
	"slices"
	"strings"
)

// isLocalFault reports whether this machine is at fault, and not the server: out of descriptors, ports or
// memory, without a network, or with a firewall that forbids the connection.
func isLocalFault(err error) bool { return hasFault(err, localFaults()) }

// isExhausted reports whether this machine ran out of descriptors or ports. Only a connection that is still
// to be made needs one, so nothing was sent; the other local faults may meet an established connection too.
func isExhausted(err error) bool { return hasFault(err, exhausted) }

func localFaults() []error { return slices.Concat(exhausted, unreachable) }

// hasFault also looks into the text of a failed look-up: net.DNSError keeps of its cause the text alone
// (newDNSError), "dial udp 192.0.2.53:53: socket: too many open files" for example.
func hasFault(err error, faults []error) bool {
	return slices.ContainsFunc(faults, func(fault error) bool {
		return errors.Is(err, fault) || anyError(err, func(err error) bool {
			lookup, ok := err.(*net.DNSError)
			return ok && strings.HasSuffix(lookup.Err, fault.Error())
		})
	})
}
