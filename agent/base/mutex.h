// SPDX-License-Identifier: Apache-2.0
//
// A mutex that clang checks: -Wthread-safety names every access to guarded data without the lock.
#pragma once

#include <mutex>

#if defined(__clang__)
#define TCPTRAIL_THREAD_SAFETY(x) __attribute__((x))
#else
#define TCPTRAIL_THREAD_SAFETY(x)
#endif

#define GUARDED_BY(x) TCPTRAIL_THREAD_SAFETY(guarded_by(x))
// A function that is called with the lock held.
#define NEEDS_LOCK(x) TCPTRAIL_THREAD_SAFETY(requires_capability(x))

namespace tcptrail {

class TCPTRAIL_THREAD_SAFETY(capability("mutex")) Mutex {
public:
    void lock() TCPTRAIL_THREAD_SAFETY(acquire_capability()) { mutex_.lock(); }
    bool try_lock() TCPTRAIL_THREAD_SAFETY(try_acquire_capability(true)) { return mutex_.try_lock(); }
    void unlock() TCPTRAIL_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }

private:
    std::mutex mutex_;
};

// Holds a mutex for a scope.
class TCPTRAIL_THREAD_SAFETY(scoped_lockable) MutexLock {
public:
    explicit MutexLock(Mutex& mutex) TCPTRAIL_THREAD_SAFETY(acquire_capability(mutex)) : mutex_(mutex) {
        mutex_.lock();
    }
    ~MutexLock() TCPTRAIL_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

private:
    Mutex& mutex_;
};

}  // namespace tcptrail
