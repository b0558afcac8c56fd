package sdk

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/steadyhttp/steadyhttp"
)

// withoutRetryAfter hides the header because of which client-go would retry by itself, up to ten times.
type withoutRetryAfter struct{ http.RoundTripper }

func (t withoutRetryAfter) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Header.Del("Retry-After")
	}
	return response, err
}

func newCluster(settings *rest.Config, options ...steadyhttp.Option) (*kubernetes.Clientset, error) {
	client, err := rest.HTTPClientFor(settings)
	if err != nil {
		return nil, err
	}
	client, err = steadyhttp.Wrap(client, options...)
	if err != nil {
		return nil, err
	}
	client.Transport = withoutRetryAfter{client.Transport}
	return kubernetes.NewForConfigAndClient(settings, client)
}

func newTestCluster(t *testing.T, server *service) *kubernetes.Clientset {
	t.Helper()
	settings := &rest.Config{
		Host:            server.URL,
		ContentConfig:   rest.ContentConfig{ContentType: "application/json"},
		BearerToken:     "token",
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte(certificatePEM(server)), ServerName: serverName},
	}
	cluster, err := newCluster(settings, steadyhttp.WithBackoff(time.Millisecond, 5*time.Millisecond))
	require.NoError(t, err)
	return cluster
}

// respondKind responds with an object of this kind.
func respondKind(t *testing.T, kind string, object any) http.HandlerFunc {
	t.Helper()
	content, err := json.Marshal(object)
	require.NoError(t, err)
	var typed map[string]any
	require.NoError(t, json.Unmarshal(content, &typed))
	typed["kind"], typed["apiVersion"] = kind, "v1"
	content, err = json.Marshal(typed)
	require.NoError(t, err)
	return respondJSON(string(content))
}

var tom = corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "tom"}, Data: map[string]string{"colour": "grey"}}

func TestKubernetes_ListSucceedsAfterFailures(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable), status(http.StatusInternalServerError),
		respondKind(t, "ConfigMapList", corev1.ConfigMapList{Items: []corev1.ConfigMap{tom}}))
	ctx, assertStatuses := newReport(t)
	list, err := newTestCluster(t, server).CoreV1().ConfigMaps("cats").List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	assert.Equal(t, "grey", list.Items[0].Data["colour"])
	assertStatuses(503, 500, 200)
}

func TestKubernetes_CreateIsNotRetriedButUpdateIs(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusInternalServerError), status(http.StatusInternalServerError), respondKind(t, "ConfigMap", tom))
	cats := newTestCluster(t, server).CoreV1().ConfigMaps("cats")
	ctx, assertStatuses := newReport(t)
	_, err := cats.Create(ctx, &tom, metav1.CreateOptions{})
	require.True(t, errors.IsInternalError(err), "the SDK decodes the last response: %v", err)
	assertStatuses(500)

	ctx, assertStatuses = newReport(t)
	updated, err := cats.Update(ctx, &tom, metav1.UpdateOptions{})
	require.NoError(t, err)
	assert.Equal(t, "tom", updated.Name)
	assertStatuses(500, 200)
	server.assertSameBodies(t, server.requests()[0].body)
}

func TestKubernetes_PriorityAndFairnessIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusTooManyRequests, "Retry-After", "1"), respondKind(t, "ConfigMap", tom))
	ctx, assertStatuses := newReport(t)
	created, err := newTestCluster(t, server).CoreV1().ConfigMaps("cats").Create(ctx, &tom, metav1.CreateOptions{})
	require.NoError(t, err)
	assert.Equal(t, "tom", created.Name)
	assertStatuses(429, 200)
}

func TestKubernetes_DoesNotRetryByItself(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable, "Retry-After", "0"))
	ctx, assertStatuses := newReport(t)
	_, err := newTestCluster(t, server).CoreV1().ConfigMaps("cats").Get(ctx, "tom", metav1.GetOptions{})
	require.Error(t, err)
	assertStatuses(503, 503, 503, 503)
}

func TestKubernetes_WatchStartsAfterAFailure(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable), respondWatch(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch, err := newTestCluster(t, server).CoreV1().ConfigMaps("cats").Watch(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	defer watch.Stop()
	for range 3 {
		event, open := <-watch.ResultChan()
		require.True(t, open)
		assert.Equal(t, "grey", event.Object.(*corev1.ConfigMap).Data["colour"])
	}
}

// respondWatch sends three events, with some time between them.
func respondWatch(t *testing.T) http.HandlerFunc {
	t.Helper()
	typed := tom
	typed.TypeMeta = metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}
	event, err := json.Marshal(map[string]any{"type": "MODIFIED", "object": typed})
	require.NoError(t, err)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 3 {
			_, _ = w.Write(append(event, '\n'))
			w.(http.Flusher).Flush()
			time.Sleep(200 * time.Millisecond)
		}
	}
}
