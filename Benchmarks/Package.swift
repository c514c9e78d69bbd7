// swift-tools-version: 6.1

import PackageDescription

// Timings of swift-dms, and hostile files for it. A package of its own, so that the library has no benchmark in it and the
// tests have no timing.
let package = Package(
  name: "swift-dms-benchmarks",
  dependencies: [
    .package(name: "swift-dms", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
  ],
  targets: [
    .target(name: "CAllocations"),
    .target(name: "CSpawn"),
    .executableTarget(
      name: "dms-benchmarks",
      dependencies: [
        "CAllocations", .product(name: "DMS", package: "swift-dms"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    // It knows the program from outside only: what it expects of a file must not come from the code that reads it.
    .executableTarget(
      name: "dms-mutations",
      dependencies: ["CSpawn", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
  ],
  swiftLanguageModes: [.v6]
)
