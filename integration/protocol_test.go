package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/require"
)

// A protocol is what is spoken to a server.
type protocol struct {
	name   string
	secure bool
	major  int
}

var protocols = []protocol{
	{"HTTP1", false, 1},
	{"HTTP1overTLS", true, 1},
	{"HTTP2overTLS", true, 2},
}

// eachProtocol runs a test over each of them.
func eachProtocol(t *testing.T, test func(*testing.T, protocol)) {
	t.Helper()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// base returns a pooled transport that speaks the protocol, and trusts the servers of these tests.
func (p protocol) base() *http.Transport {
	base := cleanhttp.DefaultPooledTransport()
	base.TLSClientConfig = &tls.Config{RootCAs: identity().roots, ServerName: serverName}
	base.MaxIdleConnsPerHost = 100
	base.Protocols = &http.Protocols{}
	base.Protocols.SetHTTP1(p.major == 1)
	base.Protocols.SetHTTP2(p.major == 2)
	return base
}

func (p protocol) scheme() string {
	if p.secure {
		return "https://"
	}
	return "http://"
}

// An endpoint is where a server listens: in the clear, and over TLS.
type endpoint struct{ Plain, Secure string }

func newEndpoint(t *testing.T) endpoint {
	t.Helper()
	return endpoint{Plain: freeAddress(t), Secure: freeAddress(t)}
}

func (p protocol) url(at endpoint, path string) string {
	if p.secure {
		return p.scheme() + at.Secure + path
	}
	return p.scheme() + at.Plain + path
}

// serverName is what the servers are called in their certificate, since their addresses are picked at random.
const serverName = "server.test"

// A pair is a certificate, its key, and who trusts it.
type pair struct {
	certificate, key []byte // PEM
	roots            *x509.CertPool
}

var identity = sync.OnceValue(func() pair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{serverName},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	made := pair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		roots:       x509.NewCertPool(),
	}
	made.roots.AppendCertsFromPEM(made.certificate)
	return made
})

func (p pair) serving() *tls.Config {
	certificate, err := tls.X509KeyPair(p.certificate, p.key)
	must(err)
	return &tls.Config{Certificates: []tls.Certificate{certificate}}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// writeIdentity puts certificate and key into one file, as haproxy wants them and nginx accepts them.
func writeIdentity(t *testing.T, directory string) (path string) {
	t.Helper()
	path = filepath.Join(directory, "identity.pem")
	both := append(append([]byte{}, identity().certificate...), identity().key...)
	require.NoError(t, os.WriteFile(path, both, 0o600))
	return path
}
