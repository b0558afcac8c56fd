package network

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"
)

// An Authority issues certificates for any name.
type Authority struct {
	Certificate *x509.Certificate // its own
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an Authority that nobody trusts yet.
func NewAuthority(name string) (*Authority, error) {
	a := &Authority{}
	template := certificateFor(name)
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	signed, err := a.sign(template)
	if err != nil {
		return nil, err
	}
	a.Certificate, a.key = signed.Leaf, signed.PrivateKey.(*ecdsa.PrivateKey)
	return a, nil
}

// Issue returns a certificate for a host name, and for the loopback addresses. A client that dialed an IP address asks
// for no name.
func (a *Authority) Issue(name string) (*tls.Certificate, error) {
	template := certificateFor(cmp.Or(name, "localhost"))
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return a.sign(template)
}

// UntrustedCertificate returns a certificate by an Authority that nobody trusts.
func UntrustedCertificate(name string) (*tls.Certificate, error) {
	untrusted, err := NewAuthority("nobody")
	if err != nil {
		return nil, err
	}
	return untrusted.Issue(name)
}

// certificateFor returns a template that is valid at any time a test may have: a synctest bubble begins in 2000.
func certificateFor(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2990, 1, 1, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true,
	}
}

// sign makes a certificate with a new key. The authority signs its own certificate with the certificate's key.
func (a *Authority) sign(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parent, signer := a.Certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(raw)
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}, err
}
