// SPDX-License-Identifier: GPL-3.0-or-later

// A model server of the tests: V1 and V2 of the inference protocol, its version and revision in every answer.
//
// Its environment:
//
//	PORT (8080)             where it listens
//	MODEL_NAME, VERSION     what it says it serves; VERSION is repeated in each answer. Where it is not set, it
//	                        is the end of the address that the model was fetched from, as our storage-initializer
//	                        notes it in /mnt/models
//	K_REVISION              the revision, as Knative sets it; VERSION where it is not set
//	DELAY_MS (0)            how long each answer takes
//	ERROR_SHARE (0)         which share of predictions, 0 to 1, is answered with 500, drawn at random
//	START_SECONDS (0)       how long it is not ready at first; negative: for ever
//	DRAIN_SECONDS (0)       how long it goes on serving after SIGTERM, not ready any more
//	ABRUPT (unset)          if set, it ends at once on SIGTERM, with requests in flight
//	LEAK_MB (0)             how many megabytes it never gives back for each prediction
//
// Without DRAIN_SECONDS and ABRUPT it finishes what is in flight and ends, as most servers do.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// More than any test leaves in flight, less than a pod's grace period.
	inFlight = 20 * time.Second
	maxBody  = 16 << 20
)

type server struct {
	model, version, revision string
	delay                    time.Duration
	errorShare               float64
	leak                     leak
	ready                    atomic.Bool
}

func main() {
	s := &server{
		model:      text("MODEL_NAME", "model"),
		version:    text("VERSION", fetched()),
		delay:      time.Duration(number("DELAY_MS", 0) * float64(time.Millisecond)),
		errorShare: number("ERROR_SHARE", 0),
		leak:       leak{each: int(number("LEAK_MB", 0) * (1 << 20))},
	}
	s.revision = text("K_REVISION", s.version)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	web := &http.Server{Addr: ":" + text("PORT", "8080"), Handler: s, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := web.ListenAndServe(); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	go s.start(number("START_SECONDS", 0))
	<-end
	if os.Getenv("ABRUPT") != "" {
		log.Print("ending at once")
		os.Exit(1)
	}
	s.ready.Store(false)
	drain := number("DRAIN_SECONDS", 0)
	log.Printf("draining for %g s", drain)
	time.Sleep(seconds(drain))
	limit, cancel := context.WithTimeout(context.Background(), inFlight)
	defer cancel()
	if err := web.Shutdown(limit); err != nil {
		log.Fatal(err)
	}
}

func (s *server) start(after float64) {
	if after < 0 {
		log.Print("never ready, as asked")
		return
	}
	time.Sleep(seconds(after))
	s.ready.Store(true)
	log.Printf("%s %s serves as %s", s.model, s.version, s.revision)
}

// leak is memory that is kept for ever.
type leak struct {
	each int
	lock sync.Mutex
	kept [][]byte
}

func (l *leak) grow() {
	if l.each == 0 {
		return
	}
	page := os.Getpagesize()
	lost := make([]byte, l.each)
	for i := 0; i < len(lost); i += page {
		lost[i] = 1 // memory that nobody touched takes no room
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	l.kept = append(l.kept, lost)
}

// ServeHTTP answers health, metadata and predictions of both protocols; whatever else is POSTed is predicted too.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Revision", s.revision)
	w.Header().Set("X-Version", s.version)
	switch {
	case r.Method == http.MethodPost:
		s.predict(w, r)
	case r.URL.Path == "/v2/health/live":
		s.answer(w, http.StatusOK, map[string]any{"live": true})
	case s.ready.Load():
		s.answer(w, http.StatusOK, map[string]any{"name": s.model, "ready": true})
	default:
		s.answer(w, http.StatusServiceUnavailable, map[string]any{"name": s.model, "ready": false})
	}
}

func (s *server) predict(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		s.answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	time.Sleep(s.delay)
	s.leak.grow()
	if rand.Float64() < s.errorShare {
		s.answer(w, http.StatusInternalServerError, map[string]any{"error": "as asked by ERROR_SHARE"})
		return
	}
	body := map[string]any{"revision": s.revision, "model_version": s.version}
	if strings.HasPrefix(r.URL.Path, "/v2/") {
		output := map[string]any{"name": "output", "datatype": "FP32", "shape": []int{1}, "data": []float64{0.5}}
		body["model_name"], body["outputs"] = s.model, []any{output}
	} else {
		body["predictions"] = []float64{0.5}
	}
	s.answer(w, http.StatusOK, body)
}

func (s *server) answer(w http.ResponseWriter, status int, body map[string]any) {
	content, err := json.Marshal(body)
	if err != nil {
		log.Fatal(err)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(status)
	_, _ = w.Write(content) // a client that has gone is no fault of the server
}

// fetched is v2 for a model that was fetched from s3://models/v2.
func fetched() string {
	content, err := os.ReadFile("/mnt/models/source")
	if err != nil {
		return "unknown"
	}
	return path.Base(strings.TrimSpace(string(content)))
}

func text(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func number(name string, otherwise float64) float64 {
	value := os.Getenv(name)
	if value == "" {
		return otherwise
	}
	parsed, err := strconv.ParseFloat(value, 64)
	if err != nil {
		log.Fatal(fmt.Errorf("%s: %w", name, err))
	}
	return parsed
}

func seconds(value float64) time.Duration {
	return time.Duration(value * float64(time.Second))
}
