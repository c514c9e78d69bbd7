// What `dms inspect --hardware` says of the GPU. No command computes on it yet.

#if CUDA
  import DMSCUDA
  import DMSPlatform
  import Glibc

  enum GPUReport {
    /// Starts the GPU and compiles the kernels for it, unless they are in the user's folder for caches.
    static func line() -> String {
      var options = CUDADevice.Options()
      options.cache = cache
      do {
        let device = try CUDADevice(options)
        let version = "\(device.driverVersion / 1000).\(device.driverVersion % 1000 / 10)"
        return "\(device.name), sm_\(device.architecture), with CUDA \(version); takes the kernels, and is not used yet"
      } catch {
        return "none: \(error)"
      }
    }

    /// `swift-dms` in the user's folder for caches, made if it is not there; `nil` where that cannot be.
    private static var cache: String? {
      func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
      guard let caches = variable("XDG_CACHE_HOME") ?? variable("HOME").map({ $0 + "/.cache" }), caches.hasPrefix("/")
      else { return nil }
      let folder = caches + "/swift-dms"
      mkdir(caches, 0o700)
      return mkdir(folder, 0o700) == 0 || errno == EEXIST ? folder : nil
    }
  }
#endif
