package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/jobservice/queue/queuetest"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redis"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redistest"
)

func TestCheckAddress(t *testing.T) {
	for _, good := range []string{
		"redis://localhost", "redis://localhost:6379/3", "rediss://user:pass@redis.example:6380/0", "redis://:p%2Fw@[::1]:6379",
		"redis://a:6379?addr=b:6379&addr=c:6379", "redis://a?cluster=true", "rediss://a?ca=/etc/ca.pem",
		"redis://a:26379/2?addr=b:26379&master_name=hub&sentinel_username=u&sentinel_password=p",
	} {
		if err := redis.CheckAddress(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "redis:", "redis://", "redis:///0", "http://:s3cret@a", "redis://:s3cret@a:0", "redis://:s3cret@a:65536", "redis://:s3cret@a:port",
		"redis://:s3cret@a/x", "redis://:s3cret@a/-1", "redis://:s3cret@a/1/2", "redis://:s3cret@a#x", "redis://:s3c/ret@a:b",
		"redis://:s3cret@a?read_timeout=-1", "redis://:s3cret@a?cluster=yes", "redis://:s3cret@a?addr=", "redis://a?addr=:s3cret@b", "redis://:s3cret@a?master_name=",
		"redis://:s3cret@a?master_name=x&master_name=y", "redis://:s3cret@a?master_name=x&cluster=true",
		"redis://:s3cret@a?sentinel_password=s3cret", "redis://:s3cret@a/1?cluster=true", "redis://:s3cret@a?ca=/etc/ca.pem",
	} {
		if err := redis.CheckAddress(bad); err == nil {
			t.Errorf("%s was taken", bad)
		} else if strings.Contains(err.Error(), "s3c") {
			t.Errorf("%s: the password is told: %v", bad, err)
		}
	}
}

// What keeps a hub from starting does not tell the password.
func TestOpenRefused(t *testing.T) {
	s := redistest.Start(t, "requirepass right")
	for name, address := range map[string]string{
		"nobody there":   "redis://:s3cret@127.0.0.1:" + redistest.FreePort(t),
		"wrong password": "redis://:s3cret@" + s.Addr,
		"no password":    "redis://" + s.Addr,
		"no TLS":         "rediss://:right@" + s.Addr,
		"no such file":   "rediss://:right@" + s.Addr + "?ca=/nonexistent/ca.pem",
		"no sentinel":    "redis://:right@" + s.Addr + "?master_name=hub",
	} {
		q, err := redis.Open(t.Context(), address)
		if err == nil {
			q.Close()
			t.Errorf("%s: opened", name)
		} else if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "right") {
			t.Errorf("%s: the password is told: %v", name, err)
		}
	}
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	s := redistest.Start(t, "port 0", "tls-port $PORT", "tls-cert-file "+cert, "tls-key-file "+key, "tls-ca-cert-file "+cert,
		"tls-auth-clients no", "requirepass right")
	queuetest.Run(t, pair("rediss://:right@"+s.Addr+"/1?ca="+cert))
	if q, err := redis.Open(t.Context(), "rediss://:right@"+s.Addr); err == nil {
		q.Close()
		t.Error("a certificate of nobody was believed")
	}
	other, _ := certificate(t)
	if q, err := redis.Open(t.Context(), "rediss://:right@"+s.Addr+"?ca="+other); err == nil {
		q.Close()
		t.Error("a certificate of another authority was believed")
	}
}

func TestSentinel(t *testing.T) {
	s := redistest.Start(t, "requirepass right")
	host, port, _ := net.SplitHostPort(s.Addr)
	watch := redistest.Start(t, "port $PORT", "sentinel monitor hub "+host+" "+port+" 1", "sentinel auth-pass hub right", "--sentinel")
	queuetest.Run(t, pair("redis://:right@"+watch.Addr+"/1?master_name=hub"))
}

func TestCluster(t *testing.T) {
	s := redistest.Start(t, "cluster-enabled yes", "requirepass right", "cluster-require-full-coverage no")
	s.Do("right", "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	for began := time.Now(); !strings.Contains(s.Do("right", "CLUSTER", "INFO"), "cluster_state:ok"); {
		if time.Since(began) > limit {
			t.Fatal("the cluster does not come up")
		}
	}
	queuetest.Run(t, pair("redis://:right@"+s.Addr+"?cluster=true"))
}

// certificate makes a certificate for loopback that is its own authority.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: rand.Text()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", private)
}
