// SPDX-License-Identifier: Apache-2.0
//
// C11's threads as pthreads, which ThreadSanitizer intercepts: it does not know C11's, and a thread that it
// has not seen begin crashes it. librdkafka uses them. In glibc the types are those of pthreads, by size and
// alignment at least, and an uninitialised one of ours is never used.
#include <pthread.h>
#include <threads.h>

#include <cerrno>
#include <memory>

namespace {

static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t) && sizeof(cnd_t) >= sizeof(pthread_cond_t));

pthread_mutex_t* of(mtx_t* mutex) {
    return reinterpret_cast<pthread_mutex_t*>(mutex);
}

pthread_cond_t* of(cnd_t* condition) {
    return reinterpret_cast<pthread_cond_t*>(condition);
}

int result_of(int error) {
    if (error == 0) return thrd_success;
    if (error == EBUSY) return thrd_busy;
    if (error == ETIMEDOUT) return thrd_timedout;
    return error == ENOMEM ? thrd_nomem : thrd_error;
}

struct Start {
    thrd_start_t function;
    void* argument;
};

void* run(void* data) {
    const std::unique_ptr<Start> start(static_cast<Start*>(data));
    return reinterpret_cast<void*>(static_cast<intptr_t>(start->function(start->argument)));
}

}  // namespace

extern "C" {

int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
    auto start = std::make_unique<Start>(function, argument);
    const int error = pthread_create(thread, nullptr, run, start.get());
    if (error == 0) (void)start.release();
    return result_of(error);
}

int thrd_join(thrd_t thread, int* result) {
    void* value = nullptr;
    const int error = pthread_join(thread, &value);
    if (result != nullptr) *result = static_cast<int>(reinterpret_cast<intptr_t>(value));
    return result_of(error);
}

int thrd_detach(thrd_t thread) {
    return result_of(pthread_detach(thread));
}

int mtx_init(mtx_t* mutex, int type) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if (type & mtx_recursive) pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    const int error = pthread_mutex_init(of(mutex), &attributes);
    pthread_mutexattr_destroy(&attributes);
    return result_of(error);
}

int mtx_lock(mtx_t* mutex) {
    return result_of(pthread_mutex_lock(of(mutex)));
}

int mtx_trylock(mtx_t* mutex) {
    return result_of(pthread_mutex_trylock(of(mutex)));
}

int mtx_unlock(mtx_t* mutex) {
    return result_of(pthread_mutex_unlock(of(mutex)));
}

void mtx_destroy(mtx_t* mutex) {
    pthread_mutex_destroy(of(mutex));
}

int cnd_init(cnd_t* condition) {
    return result_of(pthread_cond_init(of(condition), nullptr));
}

int cnd_signal(cnd_t* condition) {
    return result_of(pthread_cond_signal(of(condition)));
}

int cnd_broadcast(cnd_t* condition) {
    return result_of(pthread_cond_broadcast(of(condition)));
}

int cnd_wait(cnd_t* condition, mtx_t* mutex) {
    return result_of(pthread_cond_wait(of(condition), of(mutex)));
}

int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* until) {
    return result_of(pthread_cond_timedwait(of(condition), of(mutex), until));
}

void cnd_destroy(cnd_t* condition) {
    pthread_cond_destroy(of(condition));
}

}  // extern "C"
