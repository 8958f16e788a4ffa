// SPDX-License-Identifier: Apache-2.0

// An h2c worker on Go's net/http that answers as h2c.mjs does: /page, /part, /hints, /counts.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o pusher pusher.go
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

var requests, offered int64
var pushed sync.Map // path -> channel that its page waits for

func number(r *http.Request, name string, otherwise int) int {
	if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil {
		return n
	}
	return otherwise
}

func answer(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

func answerJSON(w http.ResponseWriter, value interface{}) {
	body, _ := json.Marshal(value)
	answer(w, "application/json", body)
}

// What it pushes Go asks of its own handler: such a request counts as offered, not as asked, and the
// page waits until it is answered, or nothing would be known of it when the page leaves.
func page(w http.ResponseWriter, r *http.Request) {
	paths := []string{}
	for i := 0; i < number(r, "n", 3); i++ {
		paths = append(paths, fmt.Sprintf("/part?i=%d&size=%d", i, number(r, "size", 1000)))
	}
	if pusher, ok := w.(http.Pusher); ok {
		answered := []chan struct{}{}
		for _, path := range paths {
			done := make(chan struct{})
			pushed.Store(path, done)
			if pusher.Push(path, nil) == nil {
				atomic.AddInt64(&offered, 1)
				atomic.AddInt64(&requests, -1)
				answered = append(answered, done)
			}
		}
		for _, done := range answered {
			<-done
		}
	}
	time.Sleep(time.Duration(number(r, "ms", 0)) * time.Millisecond)
	answerJSON(w, paths)
}

func part(w http.ResponseWriter, r *http.Request) {
	size := number(r, "size", 1000)
	w.Header().Set("ETag", fmt.Sprintf(`"%s-%d"`, r.URL.Query().Get("i"), size))
	answer(w, "text/css", []byte(strings.Repeat(".", size)))
	w.(http.Flusher).Flush()
	if done, ok := pushed.LoadAndDelete(r.URL.String()); ok {
		close(done.(chan struct{}))
	}
}

func hints(w http.ResponseWriter, r *http.Request) {
	w.Header()["Link"] = r.URL.Query()["v"]
	w.WriteHeader(http.StatusEarlyHints)
	time.Sleep(time.Duration(number(r, "ms", 50)) * time.Millisecond)
	answer(w, "text/plain", []byte("after the hints\n"))
}

func counts(w http.ResponseWriter, r *http.Request) {
	answerJSON(w, map[string]int64{"requests": atomic.LoadInt64(&requests), "offered": atomic.LoadInt64(&offered)})
}

func main() {
	http.HandleFunc("/page", page)
	http.HandleFunc("/part", part)
	http.HandleFunc("/hints", hints)
	http.HandleFunc("/counts", counts)
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		atomic.AddInt64(&requests, 1)
		http.DefaultServeMux.ServeHTTP(w, r)
	})
	listener, err := net.Listen("unix", os.Getenv("PORTICO_SOCKET"))
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal((&http.Server{Handler: h2c.NewHandler(counted, &http2.Server{})}).Serve(listener))
}
