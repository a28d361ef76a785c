// Owns the stand-in for Cloud Storage: fake-gcs-server's JSON API behind TLS, and in front of it what
// that does not look at: whose token it is, and what its owner may do. GCS's own words for refusals.
//
//	bucket_server ADDRESS PEM RULES LOG
//
// RULES is a JSON file that is read at every request: {"owner": TOKEN, "tokens": {TOKEN: {"email":
// …, "scopes": …}}, "readers": {BUCKET: [EMAIL or "allUsers"]}, "fault": STATUS, "delay": SECONDS}. The
// owner may do everything. LOG gets one JSON line a request, without its token.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

type account struct {
	Email  string `json:"email"`
	Scopes string `json:"scopes"`
}

type rules struct {
	Owner   string              `json:"owner"`
	Tokens  map[string]account  `json:"tokens"`
	Readers map[string][]string `json:"readers"`
	Fault   int                 `json:"fault"`
	Delay   float64             `json:"delay"`
}

type request struct {
	Method  string `json:"method"`
	Target  string `json:"target"`
	Who     string `json:"who"` // "" for nobody, "owner", else an email
	Status  int    `json:"status"`
	Account bool   `json:"has_token"`
}

var bucketOf = regexp.MustCompile(`^/storage/v1/b/([^/]+)`)

func refuse(out http.ResponseWriter, status int, message, reason string) {
	out.Header().Set("Content-Type", "application/json; charset=UTF-8")
	out.WriteHeader(status)
	_ = json.NewEncoder(out).Encode(map[string]any{"error": map[string]any{
		"code": status, "message": message,
		"errors": []map[string]string{{"message": message, "domain": "global", "reason": reason}},
	}})
}

type front struct {
	storage http.Handler
	rules   string
	mutex   sync.Mutex
	log     *os.File
}

// Who asks, and whether it is refused on the spot.
func (it *front) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	answer := httptest.NewRecorder()
	who := it.answer(answer, in)
	for name, values := range answer.Header() {
		out.Header()[name] = values
	}
	out.WriteHeader(answer.Code)
	_, _ = out.Write(answer.Body.Bytes())
	line, _ := json.Marshal(request{in.Method, in.RequestURI, who, answer.Code,
		in.Header.Get("Authorization") != ""})
	it.mutex.Lock()
	defer it.mutex.Unlock()
	_, _ = fmt.Fprintf(it.log, "%s\n", line)
}

func (it *front) answer(out http.ResponseWriter, in *http.Request) string {
	var now rules
	text, err := os.ReadFile(it.rules)
	if err == nil {
		err = json.Unmarshal(text, &now)
	}
	if err != nil {
		refuse(out, 500, err.Error(), "rules")
		return ""
	}
	token, given := strings.CutPrefix(in.Header.Get("Authorization"), "Bearer ")
	if given && token == now.Owner {
		it.storage.ServeHTTP(out, in)
		return "owner"
	}
	time.Sleep(time.Duration(now.Delay * float64(time.Second)))
	who := ""
	if given {
		known, found := now.Tokens[token]
		if !found {
			refuse(out, 401, "Invalid Credentials", "authError")
			return ""
		}
		who = known.Email
		if !strings.Contains(known.Scopes, "devstorage") && !strings.Contains(known.Scopes, "cloud-platform") {
			refuse(out, 403, "Request had insufficient authentication scopes.", "insufficientPermissions")
			return who
		}
	}
	if now.Fault != 0 {
		refuse(out, now.Fault, "Backend Error", "backendError")
		return who
	}
	found := bucketOf.FindStringSubmatch(in.URL.Path)
	if found == nil || in.Method != http.MethodGet {
		refuse(out, 403, "Forbidden", "forbidden")
		return who
	}
	readers, exists := now.Readers[found[1]]
	switch {
	case !exists:
		refuse(out, 404, "The specified bucket does not exist.", "notFound")
	case slices.Contains(readers, "allUsers") || (given && slices.Contains(readers, who)):
		it.storage.ServeHTTP(out, in)
	case given:
		refuse(out, 403, who+" does not have storage.objects.get access to the Google Cloud Storage "+
			"object. Permission 'storage.objects.get' denied on resource (or it may not exist).", "forbidden")
	default:
		refuse(out, 401, "Anonymous caller does not have storage.objects.get access to the Google Cloud "+
			"Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist).",
			"required")
	}
	return who
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: bucket_server ADDRESS PEM RULES LOG")
	}
	storage, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true, PublicHost: "storage.googleapis.com",
	})
	if err != nil {
		log.Fatal(err)
	}
	requests, err := os.OpenFile(os.Args[4], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	handler := &front{storage: storage.HTTPHandler(), rules: os.Args[3], log: requests}
	log.Fatal(http.ListenAndServeTLS(os.Args[1], os.Args[2], os.Args[2], handler))
}
