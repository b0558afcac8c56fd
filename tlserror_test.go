package steadyhttp_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// tlsHandshake is a record with one message of the handshake (RFC 8446 §4, §5.1).
func tlsHandshake(kind byte, body string) string {
	message := string([]byte{kind, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}) + body
	return string([]byte{22, 3, 3, byte(len(message) >> 8), byte(len(message))}) + message
}

// serverHello chooses a version, a cipher suite and extensions. The ID of a session is replaced by the client's.
func serverHello(version, cipher uint16, random, session, extensions string) string {
	body := string([]byte{byte(version >> 8), byte(version)}) + random + string([]byte{byte(len(session))}) + session
	body += string([]byte{byte(cipher >> 8), byte(cipher), 0})
	if extensions != "" {
		body += string([]byte{byte(len(extensions) >> 8), byte(len(extensions))}) + extensions
	}
	return tlsHandshake(2, body)
}

const (
	sessionID   = "the session's ID, 32 octets long"
	tls12       = 0x0303
	knownCipher = 0xc02f // TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	// retryRandom marks a HelloRetryRequest (RFC 8446 §4.1.3).
	retryRandom = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"
)

func TestTLS_ServerThatChoosesWhatWeDoNotTakeIsARefusal(t *testing.T) {
	t.Parallel()
	random := strings.Repeat("r", 32)
	const junkCertificate = "\x00\x00\x07" + "\x00\x00\x04" + "junk"
	for want, said := range map[string]string{
		"server selected unsupported protocol version 301": serverHello(0x0301, knownCipher, random, "", ""),
		"server chose an unconfigured cipher suite":        serverHello(tls12, 0x0005, random, "", ""),
		"server selected unadvertised ALPN protocol":       serverHello(tls12, knownCipher, random, "", "\x00\x10\x00\x07\x00\x05\x04spdy"),
		"server selected unsupported group":                serverHello(tls12, 0x1301, retryRandom, sessionID, "\x00\x2b\x00\x02\x03\x04"+"\x00\x33\x00\x02\x00\x01"),
		"failed to parse certificate from server":          serverHello(tls12, knownCipher, random, "", "") + tlsHandshake(11, junkCertificate) + tlsHandshake(14, ""),
		"first record does not look like a TLS handshake":  "220 mail.example.com ESMTP\r\n",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			var connected atomic.Int64
			address := newTCPServer(t, func(conn net.Conn) {
				connected.Add(1)
				hello := make([]byte, 16<<10)
				_, _ = conn.Read(hello)
				const idAt = 5 + 4 + 2 + 32 + 1 // in a ClientHello (RFC 8446 §4.1.2)
				_, _ = io.WriteString(conn, strings.Replace(said, sessionID, string(hello[idAt:idAt+len(sessionID)]), 1))
				readAll(conn)
			})
			runEachBase(t, func(t *testing.T, method string, wrap func(*http.Transport) http.RoundTripper) {
				before := connected.Load()
				base := &http.Transport{TLSClientConfig: &tls.Config{NextProtos: []string{"http/1.1"}}}
				err := assertRefused(t, wrap(base), newWireRequest(t, method, "https://"+address, ""))
				require.ErrorContains(t, err, want)
				assert.Greater(t, connected.Load(), before)
			})
		})
	}
}

func TestTLS_OwnConfigThatCannotWorkIsARefusal(t *testing.T) {
	t.Parallel()
	address := newTCPServer(t, readAll)
	for want, config := range map[string]*tls.Config{
		"no supported versions satisfy": {MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12},
		"invalid NextProtos value":      {NextProtos: []string{""}},
	} {
		err := assertRefused(t, &http.Transport{TLSClientConfig: config}, newWireRequest(t, http.MethodPost, "https://"+address, ""))
		require.ErrorContains(t, err, want)
	}
}

// A client of HTTP/2 alone and a server of HTTP/1 alone have no protocol in common.
func TestTLS_NoCommonProtocolIsARefusal(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, startTLS, echoHandler)
	server.TLS.NextProtos = []string{"http/1.1"}
	base := &http.Transport{Protocols: &http.Protocols{}, TLSClientConfig: newClientTLS(server)}
	base.Protocols.SetHTTP2(true)
	assertRefused(t, base, newWireRequest(t, http.MethodPost, server.URL, ""))
}

// What the server sent may have been corrupted on the way.
func TestTLS_BrokenHandshakeIsRetried(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"half a record":   "\x16\x03\x03\x00\x2a\x02",
		"an empty record": "\x16\x03\x03\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := newTCPServer(t, func(conn net.Conn) {
				readSome(conn)
				_, _ = io.WriteString(conn, said)
			})
			transport := newWireTransport(t, &http.Transport{}, steadyhttp.WithMaxAttempts(2))
			call := sendWire(t, transport, newWireRequest(t, http.MethodPost, "https://"+address, ""))
			call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Unprocessed, steadyhttp.Unprocessed)
		})
	}
}

// Once a connection of TLS is established, no octet that is corrupted tells of a port of another protocol.
func TestTLS_GarbageOnAnEstablishedConnectionStaysTransient(t *testing.T) {
	t.Parallel()
	certificate, _ := testCertificate()
	for name, garbage := range map[string]string{
		"no TLS at all":           "HTTP/1.1 502 Bad Gateway\r\n\r\n",
		"a record of any length":  "\x17\x03\x03\xff\xffabcde",
		"a record that is broken": "\x17\x03\x03\x00\x20abcdefghabcdefghabcdefghabcdefgh",
	} {
		for _, healthy := range []int{0, 1} {
			t.Run(fmt.Sprint(name, " after ", healthy), func(t *testing.T) {
				t.Parallel()
				address := newTCPServer(t, func(conn net.Conn) {
					secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
					for range healthy {
						readSome(secure)
						_, _ = io.WriteString(secure, "HTTP/1.1 204 No Content\r\n\r\n")
					}
					readSome(secure)
					_, _ = io.WriteString(conn, garbage)
				})
				base := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
				transport := newWireTransport(t, base, steadyhttp.WithMaxAttempts(1))
				for range healthy {
					require.NoError(t, sendWire(t, transport, newWireRequest(t, http.MethodGet, "https://"+address, "")).err)
				}
				call := sendWire(t, transport, newWireRequest(t, http.MethodPost, "https://"+address, "")) // a GET net/http would resend
				call.assertClasses(t, steadyhttp.StopMaxAttempts, steadyhttp.Transient)
				assertBreakerCount(t, transport, breakerCount{1, 1 + healthy})
			})
		}
	}
}

// By TLS 1.3 the server refuses the client's certificate after the handshake, and net/http's HTTP/2 may not return the
// alert. It is lost only where the connection broke before it was read.
func TestTLS_RefusedClientCertificateIsPermanentOverHTTP2Too(t *testing.T) {
	t.Parallel()
	server := newWireServer(t, func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
		s.StartTLS()
	}, echoHandler)
	base := &http.Transport{TLSClientConfig: newClientTLS(server), ForceAttemptHTTP2: true, DisableKeepAlives: true}
	for range 100 {
		call := sendWire(t, newTransport(t, base, fastRetryOptions()...), newWireRequest(t, http.MethodPost, server.URL, ""))
		require.Len(t, call.Attempts, 1)
		if errors.Is(call.err, syscall.EPIPE) || errors.Is(call.err, syscall.ECONNRESET) {
			continue
		}
		require.Equal(t, steadyhttp.Permanent, call.Attempts[0].Class, "%v", call.err)
	}
}
